use crate::abi;
use crate::block::{piece, u16, u32, u64};
use std::borrow::Cow;

/// What is known of a call. It is valid during the call.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub(crate) block: &'a [u8],
}

impl<'a> Call<'a> {
    fn text(&self, at: i64) -> Cow<'a, str> {
        String::from_utf8_lossy(piece(self.block, at))
    }

    /// The client id of the request.
    pub fn client_id(&self) -> Cow<'a, str> {
        self.text(abi::HEAD_CLIENT)
    }

    /// Who the client is, empty without authentication.
    pub fn principal(&self) -> Cow<'a, str> {
        self.text(abi::HEAD_PRINCIPAL)
    }

    /// The name of the virtual cluster.
    pub fn virtual_cluster(&self) -> Cow<'a, str> {
        self.text(abi::HEAD_VIRTUAL_CLUSTER)
    }

    /// The client's address, host:port.
    pub fn address(&self) -> Cow<'a, str> {
        self.text(abi::HEAD_ADDRESS)
    }

    /// The name that the client asked for in TLS, empty without TLS.
    pub fn server_name(&self) -> Cow<'a, str> {
        self.text(abi::HEAD_SERVER_NAME)
    }

    /// The cluster that the request goes to, empty above routing.
    pub fn cluster(&self) -> Cow<'a, str> {
        self.text(abi::HEAD_CLUSTER)
    }

    /// The number of the API.
    pub fn key(&self) -> i16 {
        u16(self.block, abi::HEAD_KEY as usize) as i16
    }

    /// The version of the request.
    pub fn version(&self) -> i16 {
        u16(self.block, abi::HEAD_VERSION as usize) as i16
    }

    /// The client's number of the request.
    pub fn correlation_id(&self) -> i32 {
        u32(self.block, abi::HEAD_CORRELATION as usize) as i32
    }

    /// The number of the client's connection.
    pub fn session_id(&self) -> u64 {
        u64(self.block, abi::HEAD_SESSION as usize)
    }

    /// The number of the request in its session.
    pub fn request_id(&self) -> u64 {
        u64(self.block, abi::HEAD_REQUEST as usize)
    }

    /// When the call is ended, nanoseconds since 1970.
    pub fn deadline_ns(&self) -> i64 {
        u64(self.block, abi::HEAD_DEADLINE as usize) as i64
    }

    /// What the request's call left with `set_state`, when the response comes.
    pub fn state(&self) -> &'a [u8] {
        piece(self.block, abi::HEAD_STATE)
    }

    pub(crate) fn kind(&self) -> i64 {
        u16(self.block, abi::HEAD_KIND as usize).into()
    }

    pub(crate) fn flags(&self) -> i64 {
        u16(self.block, abi::HEAD_FLAGS as usize).into()
    }

    pub(crate) fn body(&self) -> &'a [u8] {
        piece(self.block, abi::HEAD_BODY)
    }
}
