// Package abi holds the names and the packing of sluice_v1, the contract between the gateway and a
// guest. Both sides use it; ABI.md describes it for authors in other languages.
package abi

// Version is what sluice_abi returns: major << 16 | minor. Within a major only additions are made.
const Version = 1 << 16

// Exports of a guest.
const (
	ExportABI       = "sluice_abi"
	ExportAlloc     = "sluice_alloc"
	ExportConfigure = "sluice_configure"
	ExportRecords   = "sluice_on_records"
	ExportIdle      = "sluice_idle"
)

// Module is the name of the import module, Log its function: level, pointer, length.
const (
	Module    = "sluice_v1"
	ImportLog = "log"
)

// Kinds of record blocks.
const (
	KindProduce = 1
)

// The head of a record block, byte offsets. All numbers are little endian.
const (
	HeadLen     = 0  // u32: size of the head
	HeadKind    = 4  // u16
	HeadKey     = 8  // i16: API key
	HeadVersion = 10 // i16: API version
	HeadSession = 16 // u64
	HeadClient  = 24 // u32 offset, u32 length of the client id
	HeadGroups  = 32 // u32 size of a group, u32 count, u32 offset
	HeadRecords = 44 // u32 size of a record, u32 count, u32 offset
	HeadSize    = 56
)

// A group is the records of one partition.
const (
	GroupTopic     = 0  // u32 offset, u32 length of the topic's name
	GroupID        = 8  // 16 bytes: the topic's id
	GroupPartition = 24 // i32
	GroupFirst     = 28 // u32: index of the first record
	GroupCount     = 32 // u32
	GroupSize      = 40
)

// A record. Lengths of -1 are null. Headers are a sequence of {u32 key length, i32 value length, key,
// value}.
const (
	RecordTimestamp = 0  // i64: milliseconds
	RecordOffset    = 8  // i64: relative to the batch on produce
	RecordKey       = 16 // u32 offset, i32 length
	RecordValue     = 24 // u32 offset, i32 length
	RecordHeaders   = 32 // u32 offset, u32 count
	RecordSize      = 40
)

// The result block. A function returns pointer << 32 | length of it, or 0 for "unchanged".
const (
	ResultAction  = 4  // u16
	ResultCode    = 6  // i16: Kafka error code, with ActionError
	ResultMessage = 8  // u32 offset in the block, u32 length
	ResultEdits   = 16 // u32 offset in the block, u32 length
	ResultSize    = 24
)

// Actions.
const (
	ActionForward = 0
	ActionError   = 1
)

// An edit is {u32 record, u8 operation, 3 bytes of 0, u32 n1, u32 n2, n1 bytes, n2 bytes}; edits
// stand by ascending record.
const (
	EditHead = 16
	// Null as n2 stands for a null value.
	Null = 0xffffffff
)

// Operations of edits.
const (
	OpAddHeader = 1 // n1: key, n2: value
	OpSetValue  = 2 // n2: value
	OpSetKey    = 3 // n2: key
)
