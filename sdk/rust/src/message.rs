use crate::json::Value;
use crate::{Call, Error};

/// A request of an API that the manifest names. Its body is the bytes of Kafka's protocol, in the version of the call, or with
/// [`Manifest::as_json`](crate::Manifest::as_json) a message as JSON.
pub struct Request<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) state: Vec<u8>,
    pub(crate) forward: Option<Vec<u8>>,
    pub(crate) respond: Option<Vec<u8>>,
    pub(crate) close: bool,
}

impl<'a> Request<'a> {
    /// What is known of the call.
    pub fn call(&self) -> Call<'a> {
        self.call
    }

    /// The body of the request.
    pub fn body(&self) -> &'a [u8] {
        self.call.body()
    }

    /// The message, of an API that is shown as JSON: an object with the fields that kmsg, Go's code for Kafka's protocol, has, in every
    /// version the same.
    pub fn json(&self) -> Result<Value, Error> {
        Value::parse(self.body()).map_err(|e| e.as_str().into())
    }

    /// Sends another body on, of the same version. Without it the request goes on as it came.
    pub fn forward(&mut self, body: Vec<u8>) {
        self.forward = Some(body);
    }

    /// Answers with the body of a response; nobody below sees the request.
    pub fn respond(&mut self, body: Vec<u8>) {
        self.respond = Some(body);
    }

    /// Closes the connection, after the answer if there is one.
    pub fn close(&mut self) {
        self.close = true;
    }

    /// Leaves up to [`STATE_MAX`](crate::abi::STATE_MAX) bytes for the call of the response, which may run on another instance.
    pub fn set_state(&mut self, state: &[u8]) {
        self.state = state.to_vec();
    }
}

/// A response of an API that the manifest names.
pub struct Response<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) forward: Option<Vec<u8>>,
    pub(crate) close: bool,
}

impl<'a> Response<'a> {
    /// What is known of the call.
    pub fn call(&self) -> Call<'a> {
        self.call
    }

    /// The body of the response.
    pub fn body(&self) -> &'a [u8] {
        self.call.body()
    }

    /// The message, of an API that is shown as JSON.
    pub fn json(&self) -> Result<Value, Error> {
        Value::parse(self.body()).map_err(|e| e.as_str().into())
    }

    /// Answers with another body, of the same version.
    pub fn forward(&mut self, body: Vec<u8>) {
        self.forward = Some(body);
    }

    /// Closes the connection after the answer.
    pub fn close(&mut self) {
        self.close = true;
    }
}
