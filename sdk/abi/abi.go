// Package abi holds the names and the packing of sluice_v1, the contract between the gateway and a
// guest. Both sides use it; ABI.md describes it for authors in other languages.
package abi

// Version is what sluice_abi returns: major << 16 | minor. The major is in the name of the import
// module; within a major only additions are made, and the minor is for messages only.
const (
	Major   = 1
	Minor   = 3
	Version = Major<<16 | Minor
)

// Exports of a guest. Memory, ABI, Alloc, Manifest and at least one of the On functions are
// required.
const (
	ExportMemory     = "memory"
	ExportABI        = "sluice_abi"
	ExportAlloc      = "sluice_alloc"
	ExportManifest   = "sluice_manifest"
	ExportConfigure  = "sluice_configure"
	ExportOnRequest  = "sluice_on_request"
	ExportOnResponse = "sluice_on_response"
	ExportOnRecords  = "sluice_on_records"
	ExportOnSession  = "sluice_on_session"
	ExportOnTick     = "sluice_on_tick"
	ExportSelfTest   = "sluice_self_test"
	ExportIdle       = "sluice_idle"
	ExportClose      = "sluice_close"
)

// Module is the name of the import module; the others are its functions.
const (
	Module             = "sluice_v1"
	ImportLog          = "log"
	ImportLogEnabled   = "log_enabled"
	ImportMetricDefine = "metric_define"
	ImportMetricAdd    = "metric_add"
	ImportAttrSet      = "attr_set"
	ImportTraceParent  = "trace_parent"
	ImportKVGet        = "kv_get"
	ImportKVSet        = "kv_set"
	ImportKVAdd        = "kv_add"
	ImportKVCas        = "kv_cas"
	ImportTopicName    = "topic_name"
	ImportNow          = "now_ns"
	ImportRandom       = "random"
	ImportSendRequest  = "send_request"
	ImportHTTPCall     = "http_call"
	ImportResultRead   = "result_read"
	ImportResultFree   = "result_free"
)

// What imports return below 0.
const (
	ErrNone     = -1 // there is no such thing
	ErrDenied   = -2 // not granted, or a value that was to be compared differs
	ErrTooLarge = -3
	ErrTimeout  = -4
	ErrArgument = -5
)

// Capabilities that a manifest asks for in `host` and the YAML grants.
const (
	CapKV          = "kv"
	CapHTTP        = "http"
	CapSendRequest = "send_request"
)

// Levels of ImportLog.
const (
	LogDebug = -4
	LogInfo  = 0
	LogWarn  = 4
	LogError = 8
)

// Kinds of metrics, the first argument of ImportMetricDefine.
const (
	MetricCounter   = 0
	MetricGauge     = 1
	MetricHistogram = 2
)

// Kinds of blocks.
const (
	KindProduce  = 1 // the records of a Produce request
	KindFetch    = 2 // the records of a Fetch response
	KindRequest  = 3
	KindResponse = 4
	KindSession  = 5
)

// Events of a block of KindSession, in HeadFlags.
const (
	SessionConnect       = 1
	SessionAuthenticated = 2
	SessionDisconnect    = 3
)

// The head of every block, byte offsets. All numbers are little endian. A piece is a u32 offset in
// the block and a u32 length.
const (
	HeadLen            = 0   // u32: size of the head
	HeadKind           = 4   // u16
	HeadFlags          = 6   // u16: the event of KindSession, else 0
	HeadKey            = 8   // i16: API key
	HeadVersion        = 10  // i16: API version
	HeadCorrelation    = 12  // i32: the client's correlation id
	HeadSession        = 16  // u64: number of the client's connection
	HeadRequest        = 24  // u64: number of the request in its session
	HeadDeadline       = 32  // i64: when the call is ended, nanoseconds since 1970
	HeadClient         = 40  // piece: client id
	HeadPrincipal      = 48  // piece: who the client is, empty without authentication
	HeadVirtualCluster = 56  // piece
	HeadAddress        = 64  // piece: the client's address, host:port
	HeadServerName     = 72  // piece: the server name of TLS
	HeadCluster        = 80  // piece: the cluster that the request goes to; empty above routing
	HeadState          = 88  // piece: what OnRequest left, on KindResponse and KindFetch
	HeadBody           = 96  // piece: the Kafka body, on KindRequest and KindResponse
	HeadGroups         = 104 // u32 size of a group, u32 count, u32 offset
	HeadRecords        = 116 // u32 size of a record, u32 count, u32 offset
	HeadSize           = 128
)

// A group is the records of one batch.
const (
	GroupTopic         = 0  // piece: the topic's name
	GroupID            = 8  // 16 bytes: the topic's id, zero where the version has none
	GroupPartition     = 24 // i32
	GroupFirst         = 28 // u32: index of the first record
	GroupCount         = 32 // u32
	GroupAttributes    = 36 // i16: attributes of the batch
	GroupProducerEpoch = 38 // i16
	GroupProducerID    = 40 // i64: -1 none
	GroupBaseOffset    = 48 // i64: offset of the batch, 0 on produce
	GroupBaseSequence  = 56 // i32: -1 none
	GroupSize          = 64
)

// A record. Lengths of -1 are null. Headers are a sequence of {u32 key length, i32 value length,
// key, value}.
const (
	RecordTimestamp = 0  // i64: milliseconds since 1970
	RecordOffset    = 8  // i64: on produce relative to the batch
	RecordKey       = 16 // u32 offset, i32 length
	RecordValue     = 24 // u32 offset, i32 length
	RecordHeaders   = 32 // u32 offset, u32 count
	RecordSize      = 40
)

// The result block. A function returns pointer << 32 | length of it, or 0 for "unchanged". A piece
// at offset 0 is absent.
const (
	ResultLen     = 0  // u32: size of the head
	ResultAction  = 4  // u16
	ResultCode    = 6  // i16: Kafka error code, with ActionError
	ResultMessage = 8  // piece
	ResultState   = 16 // piece: comes back with the response, at most StateMax
	ResultBody    = 24 // piece: another body
	ResultEdits   = 32 // piece
	ResultSize    = 40
)

// StateMax is the most that OnRequest may leave for OnResponse.
const StateMax = 4096

// Actions.
const (
	ActionForward      = 0 // go on, with the body and the edits of the result
	ActionError        = 1 // answer with the code, in every place where the API has one
	ActionRespond      = 2 // answer with the body
	ActionClose        = 3 // close the connection without an answer
	ActionRespondClose = 4 // answer with the body, then close
)

// An edit is {u32 record, u8 operation, u8 0, u16 argument, u32 n1, u32 n2, n1 bytes, n2 bytes};
// edits stand by ascending record.
const (
	EditHead = 16
	// Null as n2 stands for a null value.
	Null = 0xffffffff
)

// Operations of edits.
const (
	OpAddHeader     = 1 // n1: key, n2: value
	OpSetValue      = 2 // n2: value
	OpSetKey        = 3 // n2: key
	OpDrop          = 4
	OpRemoveHeaders = 5 // n1: key of the headers
	OpSetTimestamp  = 6 // n2: 8 bytes, i64
	OpReject        = 7 // argument: Kafka error code, n1: message
	OpValueInPlace  = 8 // the value was changed in the input buffer, its length is the same
	OpKeyInPlace    = 9 // the same of the key
)

// Blocks of send_request: {i16 API key, i16 version, u32 time limit} and the Kafka body; the result
// is the body of the response. Blocks of http_call and their results: {u32 head length, u32 time
// limit or status, piece method, piece target (a URL), piece headers, piece body}; headers are {u32
// name length, u32 value length, name, value}*. Method and target are empty in a result. Time
// limits are in milliseconds: past one the function returns ErrTimeout; 0, and whatever is longer,
// is the deadline of the call that makes it.
const (
	SendTimeout = 4
	SendHead    = 8
	HTTPLen     = 0
	HTTPTimeout = 4 // of a call
	HTTPStatus  = 4 // of a result
	HTTPMethod  = 8
	HTTPTarget  = 16
	HTTPHeaders = 24
	HTTPBody    = 32
	HTTPSize    = 40
)
