use crate::{abi, Call, Error, Records, Request, Response};

/// What a plugin does. Implement what the manifest asks for. A gateway runs several instances of a plugin, each of which
/// serves one call at a time; what they share goes into the store, see [`host`](crate::host).
pub trait Plugin {
    /// Takes the `config:` of the YAML, which comes as JSON, {} if there is none; an error is one of the YAML.
    fn configure(&mut self, json: &[u8]) -> Result<(), String> {
        if json == b"{}" {
            return Ok(());
        }
        Err("the plugin has no configuration".into())
    }

    /// Sees the records of Produce requests before they are forwarded. An error refuses the request.
    fn on_produce(&mut self, records: &mut Records) -> Result<(), Error> {
        let _ = records;
        Ok(())
    }

    /// Sees the records of Fetch responses before clients do. An error refuses them.
    fn on_fetch(&mut self, records: &mut Records) -> Result<(), Error> {
        let _ = records;
        Ok(())
    }

    /// Sees the requests that the manifest names. An error answers with its code.
    fn on_request(&mut self, request: &mut Request) -> Result<(), Error> {
        let _ = request;
        Ok(())
    }

    /// Sees the responses that the manifest names. An error answers with its code.
    fn on_response(&mut self, response: &mut Response) -> Result<(), Error> {
        let _ = response;
        Ok(())
    }

    /// Sees clients connect and disconnect. An error closes the connection.
    fn on_session(&mut self, session: &Session) -> Result<(), String> {
        let _ = session;
        Ok(())
    }

    /// Is called from time to time, on one of the instances.
    fn on_tick(&mut self, now_ms: i64) {
        let _ = now_ms;
    }

    /// Tests the plugin when it is loaded, after `configure`: a version that fails does not take the place of the one
    /// before.
    fn self_test(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Is called before the end.
    fn close(&mut self) {}
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client has connected.
    Connected,
    /// It has said who it is.
    Authenticated,
    /// It has gone.
    Disconnected,
    /// Something that this crate does not know.
    Other,
}

/// A client's connection.
pub struct Session<'a> {
    pub(crate) call: Call<'a>,
}

impl<'a> Session<'a> {
    /// What is known of the call.
    pub fn call(&self) -> Call<'a> {
        self.call
    }

    /// What happened.
    pub fn event(&self) -> Event {
        match self.call.flags() {
            abi::SESSION_CONNECT => Event::Connected,
            abi::SESSION_AUTHENTICATED => Event::Authenticated,
            abi::SESSION_DISCONNECT => Event::Disconnected,
            _ => Event::Other,
        }
    }
}
