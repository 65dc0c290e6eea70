package kafka

import (
	"math"
	"reflect"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrorResponse answers a request with code in every place where its response has one: the items of
// the request are echoed, each with the code. For Fetch and code 0 that is an empty success.
// message goes where a response has an error message.
func ErrorResponse(req *RequestBody, code Code, message string) (*ResponseBody, error) {
	if req.View() != nil {
		return req.refuse(code, message)
	}
	msg, err := errorMessage(req, code, message)
	if err != nil {
		return nil, err
	}
	return ResponseBodyOf(msg), nil
}

// ErrorOfItems is ErrorResponse for items of a request whose others are answered: the code stands
// at each item alone, where items have one. At the top it would be that of all.
func ErrorOfItems(req *RequestBody, code Code, message string) (*ResponseBody, error) {
	resp, err := ErrorResponse(req, code, message)
	if err != nil {
		return nil, err
	}
	switch m := resp.msg.(type) {
	case *kmsg.ElectLeadersResponse:
		m.ErrorCode = 0
	case *kmsg.AlterPartitionAssignmentsResponse:
		m.ErrorCode, m.ErrorMessage = 0, nil
	}
	return resp, nil
}

// refuse is ErrorResponse for Produce and Fetch. Codes of a fetch session stand at the top.
func (b *RequestBody) refuse(code Code, message string) (*ResponseBody, error) {
	list := make([]PartitionAnswer, len(b.View().Partitions))
	switch {
	case !b.sound:
		return nil, &MalformedError{Key: b.key, Version: b.version, Err: errShort}
	case b.key == kmsg.Fetch && (code == FetchSessionIDNotFound || code == InvalidFetchSessionEpoch):
		return RefuseFetch(b.version, code), nil
	}
	for i := range list {
		list[i] = AnswerTo(i, code)
		list[i].ErrorMessage = message
	}
	return b.Answer(list, nil), nil
}

// errorMessage is ErrorResponse as a message, for other APIs.
func errorMessage(req *RequestBody, code Code, message string) (kmsg.Response, error) {
	msg, err := req.Peek()
	if err != nil {
		return nil, err
	}
	resp := msg.ResponseKind()
	resp.SetVersion(req.Version())
	e := echo{code: int16(code)}
	if message = fitting(message); message != "" {
		e.message = &message
	}
	switch m := msg.(type) {
	case *kmsg.OffsetFetchRequest:
		e.offsetFetch(resp.(*kmsg.OffsetFetchResponse), m)
	case *kmsg.FindCoordinatorRequest:
		e.findCoordinator(resp.(*kmsg.FindCoordinatorResponse), m)
	case *kmsg.DeleteTopicsRequest:
		e.deleteTopics(resp.(*kmsg.DeleteTopicsResponse), m)
	case *kmsg.CreateACLsRequest:
		r := resp.(*kmsg.CreateACLsResponse)
		for range m.Creations {
			r.Results = append(r.Results, kmsg.CreateACLsResponseResult{ErrorCode: e.code, ErrorMessage: e.message})
		}
	case *kmsg.DeleteACLsRequest:
		r := resp.(*kmsg.DeleteACLsResponse)
		for range m.Filters {
			r.Results = append(r.Results, kmsg.DeleteACLsResponseResult{ErrorCode: e.code, ErrorMessage: e.message})
		}
	case *kmsg.AlterUserSCRAMCredentialsRequest:
		r := resp.(*kmsg.AlterUserSCRAMCredentialsResponse)
		for _, d := range m.Deletions {
			r.Results = append(r.Results, kmsg.AlterUserSCRAMCredentialsResponseResult{User: d.Name, ErrorCode: e.code, ErrorMessage: e.message})
		}
		for _, u := range m.Upsertions {
			r.Results = append(r.Results, kmsg.AlterUserSCRAMCredentialsResponseResult{User: u.Name, ErrorCode: e.code, ErrorMessage: e.message})
		}
	case *kmsg.DescribeTransactionsRequest:
		r := resp.(*kmsg.DescribeTransactionsResponse)
		for _, id := range m.TransactionalIDs {
			s := kmsg.NewDescribeTransactionsResponseTransactionState()
			s.TransactionalID, s.ErrorCode, s.ProducerID = id, e.code, -1
			r.TransactionStates = append(r.TransactionStates, s)
		}
	case *kmsg.DescribeLogDirsRequest:
		r := resp.(*kmsg.DescribeLogDirsResponse)
		r.ErrorCode = e.code
		if !Has(kmsg.DescribeLogDirs, m.Version, WholeCodes) && code != 0 { // only folders have a code
			d := kmsg.NewDescribeLogDirsResponseDir()
			d.ErrorCode = e.code
			r.Dirs = append(r.Dirs, d)
		}
	case *kmsg.InitProducerIDRequest:
		r := resp.(*kmsg.InitProducerIDResponse)
		r.ErrorCode, r.ProducerID, r.ProducerEpoch = e.code, -1, -1
	default:
		switch msg.(type) {
		case *kmsg.OffsetCommitRequest, *kmsg.TxnOffsetCommitRequest, *kmsg.OffsetDeleteRequest:
			e.bare = true
		}
		e.fill(reflect.ValueOf(resp).Elem(), reflect.ValueOf(msg).Elem())
	}
	return resp, nil
}

// fitting is as much of a message as fits into a string: clients read none of more than 32,767
// bytes, and the length of more has no room before flexible versions.
func fitting(message string) string {
	if len(message) <= math.MaxInt16 {
		return message
	}
	return strings.ToValidUTF8(message[:math.MaxInt16], "")
}

type echo struct {
	code    int16
	message *string
	bare    bool // topics without partitions are echoed as well
}

// fill sets the code of a response struct and echoes, for every list of it, the list of the same
// name in the request.
func (e echo) fill(resp, req reflect.Value) {
	e.set(resp)
	for i := range resp.NumField() {
		f := resp.Field(i)
		if f.Kind() != reflect.Slice || f.Type().Elem().Kind() != reflect.Struct {
			continue
		}
		src := e.source(resp.Type().Field(i).Name, req)
		if !src.IsValid() || src.Kind() != reflect.Slice || resp.Type().Field(i).Name == "Configs" { // of topics that are made
			continue
		}
		for j := range src.Len() {
			if e.bare || !named(src.Index(j)) {
				f.Set(reflect.Append(f, e.item(f.Type().Elem(), src.Index(j))))
			}
		}
	}
}

// named reports a topic of which no partition is asked about: most answers of brokers leave it out.
func named(item reflect.Value) bool {
	if item.Kind() != reflect.Struct {
		return false
	}
	list := item.FieldByName("Partitions")
	return list.IsValid() && list.Kind() == reflect.Slice && list.Len() == 0
}

// source finds the request's list that a response's list answers.
func (e echo) source(name string, req reflect.Value) reflect.Value {
	if req.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	for _, n := range []string{name, name + "IDs", "GroupIDs"} {
		if n == "GroupIDs" && name != "Groups" {
			continue
		}
		if f := req.FieldByName(n); f.IsValid() && f.Kind() == reflect.Slice && f.Len() > 0 {
			return f
		}
	}
	return reflect.Value{}
}

// item makes one element of a response's list from the element of the request.
func (e echo) item(t reflect.Type, src reflect.Value) reflect.Value {
	p := reflect.New(t)
	if d, ok := p.Interface().(interface{ Default() }); ok {
		d.Default()
	}
	v := p.Elem()
	switch src.Kind() {
	case reflect.Struct:
		for i := range src.NumField() {
			name := src.Type().Field(i).Name
			f := v.FieldByName(name)
			if !f.IsValid() || !f.CanSet() || f.Kind() == reflect.Slice || name == "UnknownTags" || !src.Field(i).Type().AssignableTo(f.Type()) {
				continue
			}
			switch name {
			case "Topic", "TopicID", "Partition", "Group", "GroupID", "TransactionalID", "ResourceType", "ResourceName", "Type", "Name", "MemberID", "InstanceID":
				f.Set(src.Field(i))
			}
		}
		if f := v.FieldByName("Records"); f.IsValid() && f.Kind() == reflect.Slice { // null is an error for Java's share consumer
			f.SetBytes([]byte{})
		}
		for _, name := range []string{"BaseOffset", "LogStartOffset", "LowWatermark"} { // of records that there are not
			if f := v.FieldByName(name); f.IsValid() && e.code != 0 {
				f.SetInt(-1)
			}
		}
		if f, s := v.FieldByName("Topic"), src.FieldByName("Topic"); f.IsValid() && s.IsValid() && f.Kind() == reflect.Pointer && s.Kind() == reflect.String {
			str := s.String()
			f.Set(reflect.ValueOf(&str))
		}
		e.fill(v, src)
	case reflect.String, reflect.Int32:
		for i := range v.NumField() {
			f := v.Field(i)
			if f.Kind() == src.Kind() && t.Field(i).Name != "ErrorMessage" && (src.Kind() == reflect.String || t.Field(i).Name == "Partition") {
				f.Set(src)
				break
			}
		}
		e.set(v)
	}
	return v
}

func (e echo) set(v reflect.Value) {
	if f := v.FieldByName("ErrorCode"); f.IsValid() && f.Kind() == reflect.Int16 {
		f.SetInt(int64(e.code))
	}
	if f := v.FieldByName("ErrorMessage"); f.IsValid() && e.message != nil && f.Kind() == reflect.Pointer {
		f.Set(reflect.ValueOf(e.message))
	}
}

// offsetFetch answers at the level of the group: a code of a partition makes Java clients throw.
func (e echo) offsetFetch(resp *kmsg.OffsetFetchResponse, req *kmsg.OffsetFetchRequest) {
	if Has(kmsg.OffsetFetch, req.Version, WholeCodes) {
		resp.ErrorCode = e.code
	}
	for _, g := range req.Groups {
		rg := kmsg.NewOffsetFetchResponseGroup()
		rg.Group, rg.ErrorCode = g.Group, e.code
		resp.Groups = append(resp.Groups, rg)
	}
	if !Has(kmsg.OffsetFetch, req.Version, WholeCodes) {
		for _, t := range req.Topics {
			rt := kmsg.NewOffsetFetchResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewOffsetFetchResponseTopicPartition()
				rp.Partition, rp.Offset, rp.ErrorCode = p, -1, e.code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
	}
}

func (e echo) findCoordinator(resp *kmsg.FindCoordinatorResponse, req *kmsg.FindCoordinatorRequest) {
	resp.ErrorCode, resp.ErrorMessage, resp.NodeID, resp.Port = e.code, e.message, -1, -1
	if !Has(kmsg.FindCoordinator, req.Version, Batched) {
		return
	}
	for _, k := range req.CoordinatorKeys {
		c := kmsg.NewFindCoordinatorResponseCoordinator()
		c.Key, c.NodeID, c.Port, c.ErrorCode, c.ErrorMessage = k, -1, -1, e.code, e.message
		resp.Coordinators = append(resp.Coordinators, c)
	}
}

func (e echo) deleteTopics(resp *kmsg.DeleteTopicsResponse, req *kmsg.DeleteTopicsRequest) {
	add := func(name *string, id [16]byte) {
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic, t.TopicID, t.ErrorCode, t.ErrorMessage = name, id, e.code, e.message
		resp.Topics = append(resp.Topics, t)
	}
	for _, n := range req.TopicNames {
		add(&n, [16]byte{})
	}
	for _, t := range req.Topics {
		add(t.Topic, t.TopicID)
	}
}
