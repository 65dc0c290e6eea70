/* The names and numbers of sluice_v1. Written from sdk/abi/abi.go by `go test ./sdk/abi -update`. */
#ifndef SLUICE_ABI_H
#define SLUICE_ABI_H

/* Version is what sluice_abi returns: major << 16 | minor. The major is in the name of the import module; within a major only additions are made, and the minor is for messages only. */
#define SLUICE_MAJOR 1
#define SLUICE_MINOR 3
#define SLUICE_VERSION 65539

/* Exports of a guest. Memory, ABI, Alloc, Manifest and at least one of the On functions are required. */
#define SLUICE_EXPORT_MEMORY "memory"
#define SLUICE_EXPORT_ABI "sluice_abi"
#define SLUICE_EXPORT_ALLOC "sluice_alloc"
#define SLUICE_EXPORT_MANIFEST "sluice_manifest"
#define SLUICE_EXPORT_CONFIGURE "sluice_configure"
#define SLUICE_EXPORT_ON_REQUEST "sluice_on_request"
#define SLUICE_EXPORT_ON_RESPONSE "sluice_on_response"
#define SLUICE_EXPORT_ON_RECORDS "sluice_on_records"
#define SLUICE_EXPORT_ON_SESSION "sluice_on_session"
#define SLUICE_EXPORT_ON_TICK "sluice_on_tick"
#define SLUICE_EXPORT_SELF_TEST "sluice_self_test"
#define SLUICE_EXPORT_IDLE "sluice_idle"
#define SLUICE_EXPORT_CLOSE "sluice_close"

/* Module is the name of the import module; the others are its functions. */
#define SLUICE_MODULE "sluice_v1"
#define SLUICE_IMPORT_LOG "log"
#define SLUICE_IMPORT_LOG_ENABLED "log_enabled"
#define SLUICE_IMPORT_METRIC_DEFINE "metric_define"
#define SLUICE_IMPORT_METRIC_ADD "metric_add"
#define SLUICE_IMPORT_ATTR_SET "attr_set"
#define SLUICE_IMPORT_TRACE_PARENT "trace_parent"
#define SLUICE_IMPORT_KV_GET "kv_get"
#define SLUICE_IMPORT_KV_SET "kv_set"
#define SLUICE_IMPORT_KV_ADD "kv_add"
#define SLUICE_IMPORT_KV_CAS "kv_cas"
#define SLUICE_IMPORT_TOPIC_NAME "topic_name"
#define SLUICE_IMPORT_NOW "now_ns"
#define SLUICE_IMPORT_RANDOM "random"
#define SLUICE_IMPORT_SEND_REQUEST "send_request"
#define SLUICE_IMPORT_HTTP_CALL "http_call"
#define SLUICE_IMPORT_RESULT_READ "result_read"
#define SLUICE_IMPORT_RESULT_FREE "result_free"

/* What imports return below 0. */
#define SLUICE_ERR_NONE (-1) /* there is no such thing */
#define SLUICE_ERR_DENIED (-2) /* not granted, or a value that was to be compared differs */
#define SLUICE_ERR_TOO_LARGE (-3)
#define SLUICE_ERR_TIMEOUT (-4)
#define SLUICE_ERR_ARGUMENT (-5)

/* Capabilities that a manifest asks for in `host` and the YAML grants. */
#define SLUICE_CAP_KV "kv"
#define SLUICE_CAP_HTTP "http"
#define SLUICE_CAP_SEND_REQUEST "send_request"

/* Levels of ImportLog. */
#define SLUICE_LOG_DEBUG (-4)
#define SLUICE_LOG_INFO 0
#define SLUICE_LOG_WARN 4
#define SLUICE_LOG_ERROR 8

/* Kinds of metrics, the first argument of ImportMetricDefine. */
#define SLUICE_METRIC_COUNTER 0
#define SLUICE_METRIC_GAUGE 1
#define SLUICE_METRIC_HISTOGRAM 2

/* Kinds of blocks. */
#define SLUICE_KIND_PRODUCE 1 /* the records of a Produce request */
#define SLUICE_KIND_FETCH 2 /* the records of a Fetch response */
#define SLUICE_KIND_REQUEST 3
#define SLUICE_KIND_RESPONSE 4
#define SLUICE_KIND_SESSION 5

/* Events of a block of KindSession, in HeadFlags. */
#define SLUICE_SESSION_CONNECT 1
#define SLUICE_SESSION_AUTHENTICATED 2
#define SLUICE_SESSION_DISCONNECT 3

/* The head of every block, byte offsets. All numbers are little endian. A piece is a u32 offset in the block and a u32 length. */
#define SLUICE_HEAD_LEN 0 /* u32: size of the head */
#define SLUICE_HEAD_KIND 4 /* u16 */
#define SLUICE_HEAD_FLAGS 6 /* u16: the event of KindSession, else 0 */
#define SLUICE_HEAD_KEY 8 /* i16: API key */
#define SLUICE_HEAD_VERSION 10 /* i16: API version */
#define SLUICE_HEAD_CORRELATION 12 /* i32: the client's correlation id */
#define SLUICE_HEAD_SESSION 16 /* u64: number of the client's connection */
#define SLUICE_HEAD_REQUEST 24 /* u64: number of the request in its session */
#define SLUICE_HEAD_DEADLINE 32 /* i64: when the call is ended, nanoseconds since 1970 */
#define SLUICE_HEAD_CLIENT 40 /* piece: client id */
#define SLUICE_HEAD_PRINCIPAL 48 /* piece: who the client is, empty without authentication */
#define SLUICE_HEAD_VIRTUAL_CLUSTER 56 /* piece */
#define SLUICE_HEAD_ADDRESS 64 /* piece: the client's address, host:port */
#define SLUICE_HEAD_SERVER_NAME 72 /* piece: the server name of TLS */
#define SLUICE_HEAD_CLUSTER 80 /* piece: the cluster that the request goes to; empty above routing */
#define SLUICE_HEAD_STATE 88 /* piece: what OnRequest left, on KindResponse and KindFetch */
#define SLUICE_HEAD_BODY 96 /* piece: the Kafka body, on KindRequest and KindResponse */
#define SLUICE_HEAD_GROUPS 104 /* u32 size of a group, u32 count, u32 offset */
#define SLUICE_HEAD_RECORDS 116 /* u32 size of a record, u32 count, u32 offset */
#define SLUICE_HEAD_SIZE 128

/* A group is the records of one batch. */
#define SLUICE_GROUP_TOPIC 0 /* piece: the topic's name */
#define SLUICE_GROUP_ID 8 /* 16 bytes: the topic's id, zero where the version has none */
#define SLUICE_GROUP_PARTITION 24 /* i32 */
#define SLUICE_GROUP_FIRST 28 /* u32: index of the first record */
#define SLUICE_GROUP_COUNT 32 /* u32 */
#define SLUICE_GROUP_ATTRIBUTES 36 /* i16: attributes of the batch */
#define SLUICE_GROUP_PRODUCER_EPOCH 38 /* i16 */
#define SLUICE_GROUP_PRODUCER_ID 40 /* i64: -1 none */
#define SLUICE_GROUP_BASE_OFFSET 48 /* i64: offset of the batch, 0 on produce */
#define SLUICE_GROUP_BASE_SEQUENCE 56 /* i32: -1 none */
#define SLUICE_GROUP_SIZE 64

/* A record. Lengths of -1 are null. Headers are a sequence of {u32 key length, i32 value length, key, value}. */
#define SLUICE_RECORD_TIMESTAMP 0 /* i64: milliseconds since 1970 */
#define SLUICE_RECORD_OFFSET 8 /* i64: on produce relative to the batch */
#define SLUICE_RECORD_KEY 16 /* u32 offset, i32 length */
#define SLUICE_RECORD_VALUE 24 /* u32 offset, i32 length */
#define SLUICE_RECORD_HEADERS 32 /* u32 offset, u32 count */
#define SLUICE_RECORD_SIZE 40

/* The result block. A function returns pointer << 32 | length of it, or 0 for "unchanged". A piece at offset 0 is absent. */
#define SLUICE_RESULT_LEN 0 /* u32: size of the head */
#define SLUICE_RESULT_ACTION 4 /* u16 */
#define SLUICE_RESULT_CODE 6 /* i16: Kafka error code, with ActionError */
#define SLUICE_RESULT_MESSAGE 8 /* piece */
#define SLUICE_RESULT_STATE 16 /* piece: comes back with the response, at most StateMax */
#define SLUICE_RESULT_BODY 24 /* piece: another body */
#define SLUICE_RESULT_EDITS 32 /* piece */
#define SLUICE_RESULT_SIZE 40

/* StateMax is the most that OnRequest may leave for OnResponse. */
#define SLUICE_STATE_MAX 4096

/* Actions. */
#define SLUICE_ACTION_FORWARD 0 /* go on, with the body and the edits of the result */
#define SLUICE_ACTION_ERROR 1 /* answer with the code, in every place where the API has one */
#define SLUICE_ACTION_RESPOND 2 /* answer with the body */
#define SLUICE_ACTION_CLOSE 3 /* close the connection without an answer */
#define SLUICE_ACTION_RESPOND_CLOSE 4 /* answer with the body, then close */

/* An edit is {u32 record, u8 operation, u8 0, u16 argument, u32 n1, u32 n2, n1 bytes, n2 bytes}; edits stand by ascending record. */
#define SLUICE_EDIT_HEAD 16
#define SLUICE_NULL 4294967295

/* Operations of edits. */
#define SLUICE_OP_ADD_HEADER 1 /* n1: key, n2: value */
#define SLUICE_OP_SET_VALUE 2 /* n2: value */
#define SLUICE_OP_SET_KEY 3 /* n2: key */
#define SLUICE_OP_DROP 4
#define SLUICE_OP_REMOVE_HEADERS 5 /* n1: key of the headers */
#define SLUICE_OP_SET_TIMESTAMP 6 /* n2: 8 bytes, i64 */
#define SLUICE_OP_REJECT 7 /* argument: Kafka error code, n1: message */
#define SLUICE_OP_VALUE_IN_PLACE 8 /* the value was changed in the input buffer, its length is the same */
#define SLUICE_OP_KEY_IN_PLACE 9 /* the same of the key */

/* Blocks of send_request: {i16 API key, i16 version, u32 time limit} and the Kafka body; the result is the body of the response. Blocks of http_call and their results: {u32 head length, u32 time limit or status, piece method, piece target (a URL), piece headers, piece body}; headers are {u32 name length, u32 value length, name, value}*. Method and target are empty in a result. Time limits are in milliseconds: past one the function returns ErrTimeout; 0, and whatever is longer, is the deadline of the call that makes it. */
#define SLUICE_SEND_TIMEOUT 4
#define SLUICE_SEND_HEAD 8
#define SLUICE_HTTP_LEN 0
#define SLUICE_HTTP_TIMEOUT 4 /* of a call */
#define SLUICE_HTTP_STATUS 4 /* of a result */
#define SLUICE_HTTP_METHOD 8
#define SLUICE_HTTP_TARGET 16
#define SLUICE_HTTP_HEADERS 24
#define SLUICE_HTTP_BODY 32
#define SLUICE_HTTP_SIZE 40

#endif
