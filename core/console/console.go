// Package console is the operators' web page: rendered here, kept current by server-sent events,
// with nothing loaded from elsewhere.
package console

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/audit"
)

// Prefix is what the paths of the console begin with.
const Prefix = "/console/"

//go:embed templates
var templates embed.FS

//go:embed assets
var assets embed.FS

// policy lets a page use what comes from here alone, and nobody put it into a frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Console serves the pages.
type Console struct {
	g      admin.Gateway
	access *admin.Access
	pages  *template.Template
	mux    *http.ServeMux
	ctx    context.Context // ends with Close
	stop   context.CancelFunc
	starts sync.Once

	recent    recent
	allTopics shared[[]admin.Topic]
	allGroups shared[admin.Groups]
	plans     plans
}

// view is one page at one moment.
type view struct {
	Title string
	// Template names what is rendered, with Data.
	Template string
	Data     any
	// Find is what a list is narrowed down to; nil is for pages without a list.
	Find *find
}

// page makes a view of a request.
type page func(r *http.Request) (view, error)

// New returns a console of a gateway.
func New(g admin.Gateway, access *admin.Access) *Console {
	c := &Console{g: g, access: access, mux: http.NewServeMux()}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.pages = template.Must(template.New("").Funcs(functions).ParseFS(templates, "templates/*.html"))
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the folder is embedded
	}
	c.mux.Handle("GET "+Prefix+"assets/", http.StripPrefix(Prefix+"assets/", http.FileServerFS(files)))
	live := func(path string, every time.Duration, p page) {
		c.mux.HandleFunc("GET "+Prefix+path, func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, every, p) })
	}
	live("{$}", time.Second, c.overview)
	live("clients", time.Second, c.clients)
	live("moves", 500*time.Millisecond, c.moves)
	live("moves/{id}", 500*time.Millisecond, c.move)
	live("topics/{vc}", 3*time.Second, c.topics)
	live("topics/{vc}/{topic}", time.Second, c.topic)
	live("groups/{vc}", 5*time.Second, c.groups)
	live("plugins", 2*time.Second, c.plugins)
	live("config", 2*time.Second, c.config)
	live("plan", 0, c.plan)
	c.mux.HandleFunc("POST "+Prefix+"moves", c.start)
	c.mux.HandleFunc("POST "+Prefix+"moves/{id}/abort", c.abort)
	c.mux.HandleFunc("POST "+Prefix+"moves/{id}/acknowledge", c.acknowledge)
	c.mux.HandleFunc(Prefix, func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, &admin.Error{Status: 404, Message: "there is no such page"})
	})
	return c
}

// Close ends what is kept current, so that a server can be shut down.
func (c *Console) Close() { c.stop() }

func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	need := c.access.Reader
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		need = c.access.Admin
	}
	if _, err := need(r); err != nil {
		admin.Challenge(w, err)
		c.fail(w, r, err)
		return
	}
	c.mux.ServeHTTP(w, r)
}

// layout is what stands around a page.
type layout struct {
	Title    string
	Path     string
	Live     bool
	Status   admin.Status
	User     string
	Reader   bool
	Find     *find
	Content  template.HTML
	Sections []section
}

type section struct {
	Name, Path string
	Current    bool
}

func (c *Console) layout(r *http.Request, title string) layout {
	u, _ := c.access.Reader(r)
	l := layout{Title: title, Path: r.URL.RequestURI(), Status: c.g.Status(), User: u.Name, Reader: !u.Edits()}
	here := r.URL.EscapedPath()
	add := func(name, path string) {
		l.Sections = append(l.Sections, section{name, path, here == path || strings.HasPrefix(here, path+"/")})
	}
	add("Overview", Prefix)
	for _, kind := range []string{"topics", "groups"} {
		for _, v := range l.Status.VirtualClusters {
			name := strings.ToUpper(kind[:1]) + kind[1:]
			if len(l.Status.VirtualClusters) > 1 {
				name += " of " + v.Name
			}
			add(name, Prefix+kind+"/"+url.PathEscape(v.Name))
		}
	}
	add("Moves", Prefix+"moves")
	add("Clients", Prefix+"clients")
	add("Plugins", Prefix+"plugins")
	add("Configuration", Prefix+"config")
	return l
}

// serve answers with a page, or with the stream that keeps it current.
func (c *Console) serve(w http.ResponseWriter, r *http.Request, every time.Duration, p page) {
	if every > 0 && r.Header.Get("Accept") == "text/event-stream" {
		c.stream(w, r, every, p)
		return
	}
	v, content, err := c.render(r, p)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	l := c.layout(r, v.Title)
	l.Live, l.Find, l.Content = every > 0, v.Find, template.HTML(content)
	c.write(w, 200, l)
}

func (c *Console) render(r *http.Request, p page) (view, string, error) {
	v, err := p(r)
	if err != nil {
		return v, "", err
	}
	var b bytes.Buffer
	if err = c.pages.ExecuteTemplate(&b, "alert", c.g.Status()); err == nil {
		err = c.pages.ExecuteTemplate(&b, v.Template, v.Data)
	}
	return v, b.String(), err
}

func (c *Console) write(w http.ResponseWriter, status int, l layout) {
	var b bytes.Buffer
	if err := c.pages.ExecuteTemplate(&b, "layout.html", l); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w)
}

// fail shows an error as a page.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	audit.Explain(w, err)
	status := 500
	var e *admin.Error
	if errors.As(err, &e) {
		status = e.Status
	}
	l := layout{Title: http.StatusText(status)}
	if status != http.StatusUnauthorized { // who is not known sees nothing of the gateway
		l = c.layout(r, l.Title)
	}
	l.Content = c.failure(err)
	c.write(w, status, l)
}

// failure is an error as a part of a page.
func (c *Console) failure(err error) template.HTML {
	var b bytes.Buffer
	if terr := c.pages.ExecuteTemplate(&b, "error.html", err.Error()); terr != nil {
		return template.HTML(template.HTMLEscapeString(err.Error()))
	}
	return template.HTML(b.String())
}
