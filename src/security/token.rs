//! Join tokens: what an operator hands to a new machine, so that it can ask for an identity and knows whom to ask.
//!
//! ```text
//! NTS1.<pin>.<address>.<id>.<secret>
//! ```
//!
//! | part | what it is |
//! | --- | --- |
//! | `NTS1` | the version |
//! | pin | SHA-256 of the authority's public key (SubjectPublicKeyInfo in DER, as RFC 7469 pins keys), 64 hexadecimal digits |
//! | address | `host:port` of the enrolment endpoint; an IPv6 address without brackets, which are not for shells: the last colon is before the port |
//! | id | 8 bytes by which the authority finds the token, 16 hexadecimal digits; not secret |
//! | secret | 16 random bytes, 32 hexadecimal digits |
//!
//! All of it is one word of `A-Z a-z 0-9 . : - _`, which neither a shell nor a URL quotes, and has one spelling. The pin
//! is what makes it safe to send the secret to whoever answers: he has to have a certificate of that very authority
//! before anything is sent (as the tokens of docker swarm do).

use super::{hex, sha256};
use aws_lc_rs::rand;
use rustls::pki_types::ServerName;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

const VERSION: &str = "NTS1";

/// Characters of a token. The longest name of a host takes 253, the rest 130.
pub const LONGEST_TOKEN: usize = 512;

/// Why a text is no token. None of these repeats a part of the text: it may be one with a slip of the pen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Empty, or above the limit.
    #[error("has to have 1 to {LONGEST_TOKEN} characters")]
    Length,
    /// Not the five parts, with the right alphabet.
    #[error("is not of the form NTS1.<pin>.<address>.<id>.<secret>")]
    Form,
    /// Of a version that this release does not read.
    #[error("is of a version that this release does not read: it reads {VERSION}")]
    Version,
    /// The address.
    #[error("holds no address of the form host:port")]
    Address,
    /// The system has no randomness.
    #[error("cannot be made: the system has no randomness")]
    Randomness,
}

/// By what the authority finds a token. Not secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId([u8; 8]);

impl TokenId {
    /// Of its bytes.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for TokenId {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        digits(text).map(Self).ok_or(TokenError::Form)
    }
}

/// What only the holder of a token knows. Wiped from memory when it goes.
#[derive(Clone)]
pub struct JoinSecret(Zeroizing<[u8; 16]>);

impl JoinSecret {
    /// Of its bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// SHA-256 of it: what an authority keeps. One round is enough: there are 2^128 secrets, all equally likely, and a
    /// slow hash is for passwords that somebody could guess.
    pub(super) fn digest(&self) -> [u8; 32] {
        sha256(&*self.0)
    }
}

impl fmt::Debug for JoinSecret {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret")
    }
}

/// A token, with its secret. See the module.
#[derive(Clone)]
pub struct JoinToken {
    pin: [u8; 32],
    /// A name or an address without brackets.
    host: Box<str>,
    port: u16,
    id: TokenId,
    secret: JoinSecret,
}

impl JoinToken {
    /// A new one, with a random id and secret, for the authority with this key and the endpoint at `address`
    /// (`host:port`, an IPv6 address in brackets).
    pub(super) fn generate(pin: [u8; 32], address: &str) -> Result<Self, TokenError> {
        let (host, port) = address.rsplit_once(':').ok_or(TokenError::Address)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(TokenError::Address);
        }
        let (host, port) = (check_host(bare.unwrap_or(host))?, check_port(port)?);
        let (mut id, mut secret) = ([0; 8], Zeroizing::new([0; 16]));
        rand::fill(&mut id).map_err(|_| TokenError::Randomness)?;
        rand::fill(&mut *secret).map_err(|_| TokenError::Randomness)?;
        Ok(Self { pin, host, port, id: TokenId(id), secret: JoinSecret(secret) })
    }

    /// SHA-256 of the key of the authority whose coordinator may be told the secret.
    pub fn pin(&self) -> &[u8; 32] {
        &self.pin
    }

    /// `host:port` of the enrolment endpoint, as the coordinator that made the token knew it.
    pub fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// By what the authority finds it.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// What only its holder knows.
    pub fn secret(&self) -> &JoinSecret {
        &self.secret
    }

    /// The token as it is handed on. This is the one way to see the secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let Self { pin, host, port, id, secret } = self;
        // In one piece: text that grows leaves its beginnings in memory.
        let mut text = Zeroizing::new(String::with_capacity(LONGEST_TOKEN));
        text.push_str(&format!("{VERSION}.{}.{host}:{port}.{id}.", hex(pin)));
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
        for byte in secret.as_bytes() {
            text.extend([digit(byte >> 4), digit(byte & 15)]);
        }
        text
    }
}

impl fmt::Debug for JoinToken {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    /// Of what [`JoinToken::to_text`] gave, and of nothing else.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        if !(1..=LONGEST_TOKEN).contains(&text.len()) {
            return Err(TokenError::Length);
        }
        let (version, rest) = text.split_once('.').ok_or(TokenError::Form)?;
        if version != VERSION {
            let of_ours = version.strip_prefix("NTS").is_some_and(|number| number.parse::<u16>().is_ok());
            return Err(if of_ours { TokenError::Version } else { TokenError::Form });
        }
        // The address may have dots of its own; the others have none.
        let (pin, rest) = rest.split_once('.').ok_or(TokenError::Form)?;
        let (rest, secret) = rest.rsplit_once('.').ok_or(TokenError::Form)?;
        let (address, id) = rest.rsplit_once('.').ok_or(TokenError::Form)?;
        let pin = digits(pin).ok_or(TokenError::Form)?;
        let id = id.parse()?;
        let secret = Zeroizing::new(digits::<16>(secret).ok_or(TokenError::Form)?);
        let (host, port) = address.rsplit_once(':').ok_or(TokenError::Address)?;
        Ok(Self { pin, host: check_host(host)?, port: check_port(port)?, id, secret: JoinSecret(secret) })
    }
}

/// A DNS name or an IP address, in letters that need no quotes.
fn check_host(host: &str) -> Result<Box<str>, TokenError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_".contains(&byte);
    let named = host.bytes().all(plain) && ServerName::try_from(host).is_ok();
    if named { Ok(host.into()) } else { Err(TokenError::Address) }
}

/// 1 to 65535, in its one spelling.
fn check_port(text: &str) -> Result<u16, TokenError> {
    let port = text.parse::<u16>().ok().filter(|port| *port != 0 && port.to_string() == text);
    port.ok_or(TokenError::Address)
}

/// Exactly so many bytes, in lower case.
pub(super) fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(address: &str) -> JoinToken {
        JoinToken::generate([7; 32], address).unwrap()
    }

    #[test]
    fn a_token_is_one_word_that_comes_back() {
        for address in [
            "0.0.0.0:7443",
            "[::]:7443",
            "127.0.0.1:7443",
            "[::1]:7443",
            "[2001:db8::5]:1",
            "coordinator-1.example.org:65535",
            "host:80",
        ] {
            let token = token(address);
            assert_eq!(token.address(), address);
            let text = token.to_text();
            assert!(
                text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-_".contains(&byte)),
                "{address}"
            );
            let again: JoinToken = text.parse().unwrap();
            assert_eq!(
                (again.pin(), again.address(), again.id()),
                (&[7; 32], address.to_owned(), token.id())
            );
            assert_eq!(again.secret().as_bytes(), token.secret().as_bytes());
            assert_eq!(*again.to_text(), *text);
        }
    }

    #[test]
    fn two_tokens_have_nothing_in_common() {
        let (one, other) = (token("a:1"), token("a:1"));
        assert_ne!(one.id(), other.id());
        assert_ne!(one.secret().as_bytes(), other.secret().as_bytes());
    }

    #[test]
    fn the_secret_is_nowhere_but_in_the_text() {
        let token = token("a:1");
        let secret = hex(token.secret().as_bytes());
        assert!(token.to_text().ends_with(&secret));
        for shown in [format!("{token:?}"), format!("{token:#?}"), format!("{:?}", token.secret())] {
            assert!(!shown.contains(&secret) && !shown.contains('['), "{shown}");
        }
        assert!(format!("{token:?}").contains("TokenId"));
    }

    #[test]
    fn what_is_not_a_token_is_refused_without_being_repeated() {
        let pin = "07".repeat(32);
        let (id, secret) = ("0123456789abcdef", "00112233445566778899aabbccddeeff");
        let good = format!("NTS1.{pin}.host:80.{id}.{secret}");
        good.parse::<JoinToken>().unwrap();
        let long = format!("NTS1.{pin}.{}:80.{id}.{secret}", "a".repeat(500));
        for (text, error) in [
            (String::new(), TokenError::Length),
            (long, TokenError::Length),
            ("x".to_owned(), TokenError::Form),
            (good.replace("NTS1", "NTS2"), TokenError::Version),
            (good.replace("NTS1", "SWMTKN"), TokenError::Form),
            (good.replace("NTS1", "nts1"), TokenError::Form),
            (format!("{good} "), TokenError::Form),
            (format!("{good}\n"), TokenError::Form),
            (format!(" {good}"), TokenError::Form),
            (good.replace(&pin, &pin[2..]), TokenError::Form),
            (good.replace(secret, &secret.to_uppercase()), TokenError::Form),
            (good.replace(secret, ""), TokenError::Form),
            (good.replace(id, "0123456789abcdeg"), TokenError::Form),
            (good.replace(".host:80", ""), TokenError::Form),
            (good.replace("host:80", "host"), TokenError::Address),
            (good.replace("host:80", "host:080"), TokenError::Address),
            (good.replace("host:80", "host:0"), TokenError::Address),
            (good.replace("host:80", "host:65536"), TokenError::Address),
            (good.replace("host:80", "host:+80"), TokenError::Address),
            (good.replace("host:80", ":80"), TokenError::Address),
            (good.replace("host:80", "[::1]:80"), TokenError::Address),
            (good.replace("host:80", "a b:80"), TokenError::Address),
            (good.replace("host:80", "$(id):80"), TokenError::Address),
            (good.replace("host:80", "h\u{e9}:80"), TokenError::Address),
        ] {
            let found = text.parse::<JoinToken>().unwrap_err();
            assert_eq!(found, error, "{text:?}");
            assert!(!found.to_string().contains(&secret[..8]));
        }
        for address in ["", "host", "::1:80", "host:", "[::1]", "ho st:80", "0:0:80", "[h]:x"] {
            let error = JoinToken::generate([0; 32], address).unwrap_err();
            assert_eq!(error, TokenError::Address, "{address:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_written_as_it_was(text in "NTS1\\.(07){32}\\.[a-f0-9:.-]{1,12}:[0-9]{1,5}\\.[0-9a-f]{16}\\.[0-9a-f]{32}") {
            if let Ok(token) = text.parse::<JoinToken>() {
                prop_assert_eq!(&*token.to_text(), &text);
            }
        }

        #[test]
        fn any_text_is_a_token_or_an_error(text in "\\PC{0,300}") {
            prop_assert!(text.parse::<JoinToken>().is_err());
        }
    }
}
