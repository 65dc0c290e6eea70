package sdk

// Message is a Kafka message: a pointer to a type of franz-go's kmsg.
type Message interface {
	Key() int16
	MaxVersion() int16
	SetVersion(int16)
	GetVersion() int16
	ReadFrom([]byte) error
	AppendTo([]byte) []byte
}

// pointer makes a type parameter for the type that a message points to.
type pointer[S any] interface {
	*S
	Message
}

// Request is the call of a request handler.
type Request struct {
	Context
	forward, respond Message
	close            bool
}

// Forward sends m on in place of the request: the message that was changed, as a rule. Without it
// the request goes on as it came.
func (r *Request) Forward(m Message) { r.forward = m }

// Respond answers the request with m; nobody below sees it.
func (r *Request) Respond(m Message) {
	m.SetVersion(r.Version())
	r.respond = m
}

// Close closes the connection, after the answer if there is one.
func (r *Request) Close() { r.close = true }

// Response is the call of a response handler.
type Response struct {
	Context
	forward Message
	close   bool
}

// Forward answers with m in place of the response.
func (r *Response) Forward(m Message) { r.forward = m }

// Close closes the connection after the answer.
func (r *Response) Close() { r.close = true }

// handler is what is registered for one API.
type handler struct {
	key, max int16
	request  func(r *Request, body []byte) error
	response func(r *Response, body []byte) error
}

// OnRequest handles the requests of one API, named by the type of its message. An error answers the
// request: an *Error with its code.
func OnRequest[S any, T pointer[S]](handle func(r *Request, m T) error) Option {
	var m T = new(S)
	return func(g *Guest) {
		g.handlers = append(g.handlers, handler{key: m.Key(), max: m.MaxVersion(), request: func(r *Request, body []byte) error {
			var m T = new(S)
			m.SetVersion(r.Version())
			if err := m.ReadFrom(body); err != nil {
				return err
			}
			return handle(r, m)
		}})
	}
}

// OnResponse handles the responses of one API, named by the type of its message.
func OnResponse[S any, T pointer[S]](handle func(r *Response, m T) error) Option {
	var m T = new(S)
	return func(g *Guest) {
		g.handlers = append(g.handlers, handler{key: m.Key(), max: m.MaxVersion(), response: func(r *Response, body []byte) error {
			var m T = new(S)
			m.SetVersion(r.Version())
			if err := m.ReadFrom(body); err != nil {
				return err
			}
			return handle(r, m)
		}})
	}
}
