//! Numbers and pieces in a block. Places come from [`crate::abi`], whose numbers are all `i64`.

/// Two bytes at a place.
pub(crate) fn u16(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

/// Four bytes at a place.
pub(crate) fn u32(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

/// Eight bytes at a place.
pub(crate) fn u64(b: &[u8], at: usize) -> u64 {
    u64::from(u32(b, at)) | u64::from(u32(b, at + 4)) << 32
}

/// Where the bytes stand whose offset and length stand at a place; `None` for null.
pub(crate) fn span(b: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let (from, n) = (u32(b, at) as usize, u32(b, at + 4));
    if n as i32 == -1 {
        return None;
    }
    Some(from..from + n as usize)
}

/// The bytes whose offset and length stand at a place; `None` for null.
pub(crate) fn field(b: &[u8], at: usize) -> Option<&[u8]> {
    span(b, at).map(|s| &b[s])
}

/// The same of what is never null.
pub(crate) fn piece(b: &[u8], at: i64) -> &[u8] {
    field(b, at as usize).unwrap_or_default()
}
