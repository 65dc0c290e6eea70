use std::fmt;

/// Kafka error codes that plugins answer with. Any other may be used; think of what clients do with it.
pub mod code {
    /// The client may not use the topic.
    pub const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
    /// The request makes no sense.
    pub const INVALID_REQUEST: i16 = 42;
    /// The request breaks a rule: what an [`Error`](crate::Error) made of a text has.
    pub const POLICY_VIOLATION: i16 = 44;
    /// A record is not as it must be.
    pub const INVALID_RECORD: i16 = 87;
    /// Too much.
    pub const THROTTLING_QUOTA_EXCEEDED: i16 = 89;
}

/// A refusal with a Kafka error code: a plugin that returns it refuses the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The Kafka error code.
    pub code: i16,
    /// What the client is told.
    pub message: String,
}

impl Error {
    /// An error with a code of [`code`], or another.
    pub fn new(code: i16, message: impl Into<String>) -> Error {
        Error {
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Error {}

/// A text refuses with POLICY_VIOLATION.
impl From<String> for Error {
    fn from(message: String) -> Error {
        Error::new(code::POLICY_VIOLATION, message)
    }
}

/// A text refuses with POLICY_VIOLATION.
impl From<&str> for Error {
    fn from(message: &str) -> Error {
        Error::new(code::POLICY_VIOLATION, message)
    }
}
