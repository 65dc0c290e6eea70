use crate::edits::Edits;
use crate::{abi, Call, Error, Manifest, Plugin, Records, Request, Response, Session};
use std::cell::RefCell;

/// A registered plugin: what [`register!`](crate::register) makes, and tests call.
pub struct Guest {
    name: &'static str,
    manifest: Manifest,
    pub(crate) plugin: Box<dyn Plugin>,
    edits: Edits,
}

impl Guest {
    /// A guest of a plugin.
    pub fn new(name: &'static str, plugin: impl Plugin + 'static, manifest: Manifest) -> Guest {
        Guest {
            name,
            manifest,
            plugin: Box::new(plugin),
            edits: Edits::default(),
        }
    }

    /// The manifest, JSON.
    pub fn manifest(&self) -> String {
        self.manifest.json(self.name)
    }

    /// Gives the plugin its configuration.
    pub fn configure(&mut self, json: &[u8]) -> Result<(), String> {
        self.plugin.configure(json)
    }

    /// Handles a block and returns the result block, `None` for "unchanged". It is valid until the next call.
    pub fn call(&mut self, block: &mut [u8]) -> Option<&[u8]> {
        self.edits.clear();
        match (Call { block }).kind() {
            abi::KIND_PRODUCE => self.records(block, true),
            abi::KIND_FETCH => self.records(block, false),
            abi::KIND_REQUEST => self.request(Call { block }),
            abi::KIND_RESPONSE => self.response(Call { block }),
            abi::KIND_SESSION => match self.plugin.on_session(&Session {
                call: Call { block },
            }) {
                Ok(()) => None,
                Err(e) => Some(self.edits.answer(abi::ACTION_CLOSE, 0, &e, None)),
            },
            _ => None,
        }
    }

    fn refuse(&mut self, e: Error) -> Option<&[u8]> {
        Some(
            self.edits
                .answer(abi::ACTION_ERROR, e.code, &e.message, None),
        )
    }

    fn records(&mut self, block: &mut [u8], produce: bool) -> Option<&[u8]> {
        let edits = RefCell::new(std::mem::take(&mut self.edits));
        let mut records = Records { block, edits };
        let result = if produce {
            self.plugin.on_produce(&mut records)
        } else {
            self.plugin.on_fetch(&mut records)
        };
        self.edits = records.edits.into_inner();
        match result {
            Ok(()) => self.edits.finish(),
            Err(e) => self.refuse(e),
        }
    }

    fn request(&mut self, call: Call) -> Option<&[u8]> {
        let mut r = Request {
            call,
            state: Vec::new(),
            forward: None,
            respond: None,
            close: false,
        };
        if let Err(e) = self.plugin.on_request(&mut r) {
            return self.refuse(e);
        }
        let action = match (&r.respond, r.close) {
            (Some(_), false) => abi::ACTION_RESPOND,
            (Some(_), true) => abi::ACTION_RESPOND_CLOSE,
            (None, true) => abi::ACTION_CLOSE,
            (None, false) if r.forward.is_none() && r.state.is_empty() => return None,
            (None, false) => {
                self.edits.set_state(&r.state);
                abi::ACTION_FORWARD
            }
        };
        let body = r
            .respond
            .or(r.forward)
            .filter(|_| action != abi::ACTION_CLOSE);
        Some(self.edits.answer(action, 0, "", body.as_deref()))
    }

    fn response(&mut self, call: Call) -> Option<&[u8]> {
        let mut r = Response {
            call,
            forward: None,
            close: false,
        };
        if let Err(e) = self.plugin.on_response(&mut r) {
            return self.refuse(e);
        }
        match (&r.forward, r.close) {
            (None, false) => None,
            (Some(b), false) => Some(self.edits.answer(abi::ACTION_FORWARD, 0, "", Some(b))),
            (b, true) => {
                let body = b.as_deref().unwrap_or_else(|| r.body());
                Some(
                    self.edits
                        .answer(abi::ACTION_RESPOND_CLOSE, 0, "", Some(body)),
                )
            }
        }
    }
}
