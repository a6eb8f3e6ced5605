//! [`Token`]: the secret of those who may change something.

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

/// The fewest characters: what can be guessed is no token.
const MIN_LENGTH: usize = 16;

/// A token. It is not shown in logs.
#[derive(Clone, Debug)]
pub struct Token(SecretString);

/// Why a text is no token.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    /// It could be guessed.
    #[error("a token has at least {MIN_LENGTH} characters; make one with `openssl rand -hex 32`")]
    TooShort,
    /// It does not fit into a header.
    #[error(
        "a token has no spaces and only visible ASCII characters; make one with `openssl rand -hex 32`"
    )]
    NotVisible,
}

impl Token {
    /// This text, without white space around it.
    ///
    /// # Errors
    /// It is no token.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::NotVisible);
        }
        if text.len() < MIN_LENGTH {
            return Err(TokenError::TooShort);
        }
        Ok(Self(text.into()))
    }

    /// Is it this text? Takes as long for one that is nearly right as for any other
    /// of its length.
    pub(super) fn is(&self, text: &str) -> bool {
        self.0
            .expose_secret()
            .as_bytes()
            .ct_eq(text.as_bytes())
            .into()
    }

    /// The value of the `Authorization` header.
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0.expose_secret())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_token_is_long_and_visible_and_not_shown() {
        assert_eq!(Token::new("short").unwrap_err(), TokenError::TooShort);
        let with_space = Token::new("0123456789abcdef 0123456789abcdef");
        assert_eq!(with_space.unwrap_err(), TokenError::NotVisible);
        let token = Token::new(" 0123456789abcdef\n").unwrap();
        assert!(token.is("0123456789abcdef"));
        assert!(!format!("{token:?}").contains("0123"), "{token:?}");
    }
}
