//! The names and numbers of sluice_v1. Written from sdk/abi/abi.go by `go test ./sdk/abi -update`.

// Version is what sluice_abi returns: major << 16 | minor. The major is in the name of the import module; within a major only additions are made, and the minor is for messages only.
pub const MAJOR: i64 = 1;
pub const MINOR: i64 = 3;
pub const VERSION: i64 = 65539;

// Exports of a guest. Memory, ABI, Alloc, Manifest and at least one of the On functions are required.
pub const EXPORT_MEMORY: &str = "memory";
pub const EXPORT_ABI: &str = "sluice_abi";
pub const EXPORT_ALLOC: &str = "sluice_alloc";
pub const EXPORT_MANIFEST: &str = "sluice_manifest";
pub const EXPORT_CONFIGURE: &str = "sluice_configure";
pub const EXPORT_ON_REQUEST: &str = "sluice_on_request";
pub const EXPORT_ON_RESPONSE: &str = "sluice_on_response";
pub const EXPORT_ON_RECORDS: &str = "sluice_on_records";
pub const EXPORT_ON_SESSION: &str = "sluice_on_session";
pub const EXPORT_ON_TICK: &str = "sluice_on_tick";
pub const EXPORT_SELF_TEST: &str = "sluice_self_test";
pub const EXPORT_IDLE: &str = "sluice_idle";
pub const EXPORT_CLOSE: &str = "sluice_close";

// Module is the name of the import module; the others are its functions.
pub const MODULE: &str = "sluice_v1";
pub const IMPORT_LOG: &str = "log";
pub const IMPORT_LOG_ENABLED: &str = "log_enabled";
pub const IMPORT_METRIC_DEFINE: &str = "metric_define";
pub const IMPORT_METRIC_ADD: &str = "metric_add";
pub const IMPORT_ATTR_SET: &str = "attr_set";
pub const IMPORT_TRACE_PARENT: &str = "trace_parent";
pub const IMPORT_KV_GET: &str = "kv_get";
pub const IMPORT_KV_SET: &str = "kv_set";
pub const IMPORT_KV_ADD: &str = "kv_add";
pub const IMPORT_KV_CAS: &str = "kv_cas";
pub const IMPORT_TOPIC_NAME: &str = "topic_name";
pub const IMPORT_NOW: &str = "now_ns";
pub const IMPORT_RANDOM: &str = "random";
pub const IMPORT_SEND_REQUEST: &str = "send_request";
pub const IMPORT_HTTP_CALL: &str = "http_call";
pub const IMPORT_RESULT_READ: &str = "result_read";
pub const IMPORT_RESULT_FREE: &str = "result_free";

// What imports return below 0.
/// there is no such thing
pub const ERR_NONE: i64 = -1;
/// not granted, or a value that was to be compared differs
pub const ERR_DENIED: i64 = -2;
pub const ERR_TOO_LARGE: i64 = -3;
pub const ERR_TIMEOUT: i64 = -4;
pub const ERR_ARGUMENT: i64 = -5;

// Capabilities that a manifest asks for in `host` and the YAML grants.
pub const CAP_KV: &str = "kv";
pub const CAP_HTTP: &str = "http";
pub const CAP_SEND_REQUEST: &str = "send_request";

// Levels of ImportLog.
pub const LOG_DEBUG: i64 = -4;
pub const LOG_INFO: i64 = 0;
pub const LOG_WARN: i64 = 4;
pub const LOG_ERROR: i64 = 8;

// Kinds of metrics, the first argument of ImportMetricDefine.
pub const METRIC_COUNTER: i64 = 0;
pub const METRIC_GAUGE: i64 = 1;
pub const METRIC_HISTOGRAM: i64 = 2;

// Kinds of blocks.
/// the records of a Produce request
pub const KIND_PRODUCE: i64 = 1;
/// the records of a Fetch response
pub const KIND_FETCH: i64 = 2;
pub const KIND_REQUEST: i64 = 3;
pub const KIND_RESPONSE: i64 = 4;
pub const KIND_SESSION: i64 = 5;

// Events of a block of KindSession, in HeadFlags.
pub const SESSION_CONNECT: i64 = 1;
pub const SESSION_AUTHENTICATED: i64 = 2;
pub const SESSION_DISCONNECT: i64 = 3;

// The head of every block, byte offsets. All numbers are little endian. A piece is a u32 offset in the block and a u32 length.
/// u32: size of the head
pub const HEAD_LEN: i64 = 0;
/// u16
pub const HEAD_KIND: i64 = 4;
/// u16: the event of KindSession, else 0
pub const HEAD_FLAGS: i64 = 6;
/// i16: API key
pub const HEAD_KEY: i64 = 8;
/// i16: API version
pub const HEAD_VERSION: i64 = 10;
/// i32: the client's correlation id
pub const HEAD_CORRELATION: i64 = 12;
/// u64: number of the client's connection
pub const HEAD_SESSION: i64 = 16;
/// u64: number of the request in its session
pub const HEAD_REQUEST: i64 = 24;
/// i64: when the call is ended, nanoseconds since 1970
pub const HEAD_DEADLINE: i64 = 32;
/// piece: client id
pub const HEAD_CLIENT: i64 = 40;
/// piece: who the client is, empty without authentication
pub const HEAD_PRINCIPAL: i64 = 48;
/// piece
pub const HEAD_VIRTUAL_CLUSTER: i64 = 56;
/// piece: the client's address, host:port
pub const HEAD_ADDRESS: i64 = 64;
/// piece: the server name of TLS
pub const HEAD_SERVER_NAME: i64 = 72;
/// piece: the cluster that the request goes to; empty above routing
pub const HEAD_CLUSTER: i64 = 80;
/// piece: what OnRequest left, on KindResponse and KindFetch
pub const HEAD_STATE: i64 = 88;
/// piece: the Kafka body, on KindRequest and KindResponse
pub const HEAD_BODY: i64 = 96;
/// u32 size of a group, u32 count, u32 offset
pub const HEAD_GROUPS: i64 = 104;
/// u32 size of a record, u32 count, u32 offset
pub const HEAD_RECORDS: i64 = 116;
pub const HEAD_SIZE: i64 = 128;

// A group is the records of one batch.
/// piece: the topic's name
pub const GROUP_TOPIC: i64 = 0;
/// 16 bytes: the topic's id, zero where the version has none
pub const GROUP_ID: i64 = 8;
/// i32
pub const GROUP_PARTITION: i64 = 24;
/// u32: index of the first record
pub const GROUP_FIRST: i64 = 28;
/// u32
pub const GROUP_COUNT: i64 = 32;
/// i16: attributes of the batch
pub const GROUP_ATTRIBUTES: i64 = 36;
/// i16
pub const GROUP_PRODUCER_EPOCH: i64 = 38;
/// i64: -1 none
pub const GROUP_PRODUCER_ID: i64 = 40;
/// i64: offset of the batch, 0 on produce
pub const GROUP_BASE_OFFSET: i64 = 48;
/// i32: -1 none
pub const GROUP_BASE_SEQUENCE: i64 = 56;
pub const GROUP_SIZE: i64 = 64;

// A record. Lengths of -1 are null. Headers are a sequence of {u32 key length, i32 value length, key, value}.
/// i64: milliseconds since 1970
pub const RECORD_TIMESTAMP: i64 = 0;
/// i64: on produce relative to the batch
pub const RECORD_OFFSET: i64 = 8;
/// u32 offset, i32 length
pub const RECORD_KEY: i64 = 16;
/// u32 offset, i32 length
pub const RECORD_VALUE: i64 = 24;
/// u32 offset, u32 count
pub const RECORD_HEADERS: i64 = 32;
pub const RECORD_SIZE: i64 = 40;

// The result block. A function returns pointer << 32 | length of it, or 0 for "unchanged". A piece at offset 0 is absent.
/// u32: size of the head
pub const RESULT_LEN: i64 = 0;
/// u16
pub const RESULT_ACTION: i64 = 4;
/// i16: Kafka error code, with ActionError
pub const RESULT_CODE: i64 = 6;
/// piece
pub const RESULT_MESSAGE: i64 = 8;
/// piece: comes back with the response, at most StateMax
pub const RESULT_STATE: i64 = 16;
/// piece: another body
pub const RESULT_BODY: i64 = 24;
/// piece
pub const RESULT_EDITS: i64 = 32;
pub const RESULT_SIZE: i64 = 40;

// StateMax is the most that OnRequest may leave for OnResponse.
pub const STATE_MAX: i64 = 4096;

// Actions.
/// go on, with the body and the edits of the result
pub const ACTION_FORWARD: i64 = 0;
/// answer with the code, in every place where the API has one
pub const ACTION_ERROR: i64 = 1;
/// answer with the body
pub const ACTION_RESPOND: i64 = 2;
/// close the connection without an answer
pub const ACTION_CLOSE: i64 = 3;
/// answer with the body, then close
pub const ACTION_RESPOND_CLOSE: i64 = 4;

// An edit is {u32 record, u8 operation, u8 0, u16 argument, u32 n1, u32 n2, n1 bytes, n2 bytes}; edits stand by ascending record.
pub const EDIT_HEAD: i64 = 16;
pub const NULL: i64 = 4294967295;

// Operations of edits.
/// n1: key, n2: value
pub const OP_ADD_HEADER: i64 = 1;
/// n2: value
pub const OP_SET_VALUE: i64 = 2;
/// n2: key
pub const OP_SET_KEY: i64 = 3;
pub const OP_DROP: i64 = 4;
/// n1: key of the headers
pub const OP_REMOVE_HEADERS: i64 = 5;
/// n2: 8 bytes, i64
pub const OP_SET_TIMESTAMP: i64 = 6;
/// argument: Kafka error code, n1: message
pub const OP_REJECT: i64 = 7;
/// the value was changed in the input buffer, its length is the same
pub const OP_VALUE_IN_PLACE: i64 = 8;
/// the same of the key
pub const OP_KEY_IN_PLACE: i64 = 9;

// Blocks of send_request: {i16 API key, i16 version, u32 time limit} and the Kafka body; the result is the body of the response. Blocks of http_call and their results: {u32 head length, u32 time limit or status, piece method, piece target (a URL), piece headers, piece body}; headers are {u32 name length, u32 value length, name, value}*. Method and target are empty in a result. Time limits are in milliseconds: past one the function returns ErrTimeout; 0, and whatever is longer, is the deadline of the call that makes it.
pub const SEND_TIMEOUT: i64 = 4;
pub const SEND_HEAD: i64 = 8;
pub const HTTP_LEN: i64 = 0;
/// of a call
pub const HTTP_TIMEOUT: i64 = 4;
/// of a result
pub const HTTP_STATUS: i64 = 4;
pub const HTTP_METHOD: i64 = 8;
pub const HTTP_TARGET: i64 = 16;
pub const HTTP_HEADERS: i64 = 24;
pub const HTTP_BODY: i64 = 32;
pub const HTTP_SIZE: i64 = 40;
