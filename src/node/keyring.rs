//! Keyrings. What changes the ring waits for its file and is a promise; sealing and opening happen at once, into memory
//! that the facade has allocated.

use super::errors::{Code, invalid};
use super::task::fallible_promise;
use crate::calls::arguments::{room, series};
use crate::security::PrivateFileError;
use crate::security::keyring::{KeyInfo, Keyring, KeyringError, Kind, OVERHEAD_BYTES};
use napi::bindgen_prelude::{PromiseRaw, Uint8Array};
use napi::{Env, Error};
use napi_derive::napi;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

// The macro takes what is written as `&mut` for a class; by another name the memory comes as it is.
type Bytes<'a> = &'a mut [u8];
type Values<'a> = &'a mut [f64];

/// An open keyring.
#[napi]
pub struct NativeKeyring(pub(super) Arc<Keyring>);

/// A key, without what is secret of it.
#[napi(object, object_from_js = false)]
pub struct NativeKey {
    pub id: String,
    pub state: String,
    /// In milliseconds since the Unix epoch.
    pub created_at: f64,
}

#[napi(catch_unwind, ts_return_type = "Promise<NativeKeyring>")]
pub fn open_keyring<'env>(
    env: &'env Env,
    path: String,
    passphrase: Option<&[u8]>,
    create: bool,
) -> Result<PromiseRaw<'env, NativeKeyring>, Error<Code>> {
    let passphrase = passphrase.map(|bytes| Zeroizing::new(bytes.to_vec()));
    let open = move || {
        let passphrase = passphrase.as_deref().map(Vec::as_slice);
        let open = if create { Keyring::open } else { Keyring::open_existing };
        open(&PathBuf::from(path), passphrase).map_err(code)
    };
    fallible_promise(env, open, |keyring| NativeKeyring(Arc::new(keyring)))
}

#[napi]
impl NativeKeyring {
    #[napi(getter, catch_unwind)]
    pub fn current_key_id(&self) -> Result<String, Error<Code>> {
        self.0.current().map(|id| id.to_string()).map_err(code)
    }

    #[napi(catch_unwind)]
    pub fn keys(&self) -> Result<Vec<NativeKey>, Error<Code>> {
        let keys = self.0.keys().map_err(code)?;
        Ok(keys.into_iter().map(NativeKey::from).collect())
    }

    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn generate<'env>(&self, env: &'env Env) -> Result<PromiseRaw<'env, String>, Error<Code>> {
        self.changed(env, |keyring| keyring.generate().map(|id| id.to_string()))
    }

    #[napi(catch_unwind, ts_return_type = "Promise<Uint8Array>")]
    pub fn export<'env>(
        &self,
        env: &'env Env,
        key_id: String,
        passphrase: &[u8],
    ) -> Result<PromiseRaw<'env, Uint8Array>, Error<Code>> {
        let (keyring, passphrase) = (self.0.clone(), Zeroizing::new(passphrase.to_vec()));
        let export = move || keyring.export(&key_id, &passphrase).map_err(code);
        fallible_promise(env, export, Uint8Array::from)
    }

    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn install<'env>(
        &self,
        env: &'env Env,
        exported: &[u8],
        passphrase: &[u8],
    ) -> Result<PromiseRaw<'env, String>, Error<Code>> {
        let passphrase = Zeroizing::new(passphrase.to_vec());
        let mut own = room("exported", exported.len())?;
        own.extend_from_slice(exported);
        self.changed(env, move |keyring| keyring.install(&own, &passphrase).map(|id| id.to_string()))
    }

    #[napi(js_name = "use", catch_unwind, ts_return_type = "Promise<void>")]
    pub fn make_current<'env>(
        &self,
        env: &'env Env,
        key_id: String,
    ) -> Result<PromiseRaw<'env, ()>, Error<Code>> {
        self.changed(env, move |keyring| keyring.make_current(&key_id))
    }

    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn rotate<'env>(&self, env: &'env Env) -> Result<PromiseRaw<'env, String>, Error<Code>> {
        self.changed(env, |keyring| keyring.rotate().map(|id| id.to_string()))
    }

    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn retire<'env>(&self, env: &'env Env, key_id: String) -> Result<PromiseRaw<'env, ()>, Error<Code>> {
        self.changed(env, move |keyring| keyring.retire(&key_id))
    }

    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn remove<'env>(&self, env: &'env Env, key_id: String) -> Result<PromiseRaw<'env, ()>, Error<Code>> {
        self.changed(env, move |keyring| keyring.remove(&key_id))
    }

    /// `out` is longer than `plaintext` by the overhead.
    #[napi(catch_unwind)]
    pub fn seal(
        &self,
        plaintext: &[u8],
        context: String,
        #[napi(ts_arg_type = "Uint8Array")] out: Bytes<'_>,
    ) -> Result<(), Error<Code>> {
        self.0.seal_into(Kind::Bytes, plaintext, &context, out).map_err(code)
    }

    /// `out` is shorter than `sealed` by the overhead.
    #[napi(catch_unwind)]
    pub fn open(
        &self,
        sealed: &[u8],
        context: String,
        #[napi(ts_arg_type = "Uint8Array")] out: Bytes<'_>,
    ) -> Result<(), Error<Code>> {
        self.0.open_into(Kind::Bytes, sealed, &context, out).map_err(code)
    }

    /// `out` has room for the values, 8 bytes each, and the overhead.
    #[napi(catch_unwind)]
    pub fn seal_series(
        &self,
        values: &[f64],
        context: String,
        #[napi(ts_arg_type = "Uint8Array")] out: Bytes<'_>,
    ) -> Result<(), Error<Code>> {
        series("values", values, 1.0)?;
        let mut bytes = Zeroizing::new(room("values", size_of_val(values))?);
        bytes.resize(size_of_val(values), 0);
        for (place, value) in bytes.chunks_exact_mut(size_of::<f64>()).zip(values) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        self.0.seal_into(Kind::Series, &bytes, &context, out).map_err(code)
    }

    /// `out` has room for as many values as fit into `sealed` without the overhead.
    #[napi(catch_unwind)]
    pub fn open_series(
        &self,
        sealed: &[u8],
        context: String,
        #[napi(ts_arg_type = "Float64Array")] out: Values<'_>,
    ) -> Result<(), Error<Code>> {
        let length = sealed.len().saturating_sub(OVERHEAD_BYTES);
        let mut bytes = Zeroizing::new(room("sealed", length)?);
        bytes.resize(length, 0);
        self.0.open_into(Kind::Series, sealed, &context, &mut bytes).map_err(code)?;
        if length == 0 || !length.is_multiple_of(size_of::<f64>()) {
            return Err(code(KeyringError::Decrypt("the envelope holds no whole number of values")));
        }
        if size_of_val(out) != length {
            return Err(invalid(format!("out holds {} values, {length} bytes were sealed", out.len())));
        }
        for (value, bytes) in out.iter_mut().zip(bytes.chunks_exact(size_of::<f64>())) {
            *value = f64::from_le_bytes(bytes.try_into().expect("chunks of eight have eight bytes"));
        }
        Ok(())
    }

    /// `null`: it is sealed with the current key already.
    #[napi(catch_unwind)]
    pub fn reseal(&self, sealed: &[u8], context: String) -> Result<Option<Uint8Array>, Error<Code>> {
        Ok(self.0.reseal(sealed, &context).map_err(code)?.map(Uint8Array::from))
    }
}

impl NativeKeyring {
    fn changed<'env, T>(
        &self,
        env: &'env Env,
        change: impl FnOnce(&Keyring) -> Result<T, KeyringError> + Send + 'static,
    ) -> Result<PromiseRaw<'env, T>, Error<Code>>
    where
        T: napi::bindgen_prelude::ToNapiValue + Send + 'static,
    {
        let keyring = self.0.clone();
        fallible_promise(env, move || change(&keyring).map_err(code), |answer| answer)
    }
}

impl From<KeyInfo> for NativeKey {
    fn from(KeyInfo { id, state, created_at }: KeyInfo) -> Self {
        Self { id: id.to_string(), state: state.as_str().to_owned(), created_at: created_at as f64 }
    }
}

pub(super) fn code(error: KeyringError) -> Error<Code> {
    let code = match error {
        KeyringError::Invalid { .. } => Code::INVALID_ARGUMENT,
        KeyringError::TooLarge { .. } | KeyringError::Full => Code::TOO_LARGE,
        KeyringError::Unknown(_) | KeyringError::NotAnId | KeyringError::Missing { .. } => Code::NOT_FOUND,
        KeyringError::Decrypt(_) | KeyringError::NoKey(_) | KeyringError::Passphrase { .. } => Code::DECRYPT,
        KeyringError::Schema { .. } => Code::SCHEMA,
        KeyringError::Gone { .. } => Code::STORE,
        KeyringError::Crypto(_) => Code::INTERNAL,
        KeyringError::File(ref error) => match error {
            PrivateFileError::Permissions { .. } => Code::FORBIDDEN,
            PrivateFileError::Corrupt { .. } => Code::CORRUPT,
            PrivateFileError::Io { .. } | PrivateFileError::Busy { .. } => Code::STORE,
        },
    };
    Error::new(code, error.to_string())
}
