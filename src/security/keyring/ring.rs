//! The keys of a ring and what may become of them: installed, current, retired, removed.
//!
//! ```text
//! install ---> installed --use--> current
//!                  |                |  ^ use another one: this one is retired; use it again: the way back
//!                retire             v  |
//!                  +-----------> retired --remove--> gone
//! ```
//!
//! Exactly one key is current, and it alone seals. All keys open. A step that would break this is refused and changes
//! nothing. No file, clock or dice here.

use super::KeyringError;
use super::key::{Key, KeyId};
use std::sync::Arc;

/// Keys of one ring.
pub(super) const MOST_KEYS: usize = 1024;

/// What is done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It opens. Nothing was sealed with it here yet.
    Installed,
    /// It opens, and seals whatever is sealed.
    Current,
    /// It opens what was sealed with it, until it is removed.
    Retired,
}

impl KeyState {
    const ALL: [Self; 3] = [Self::Installed, Self::Current, Self::Retired];

    /// As files and users call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Current => "current",
            Self::Retired => "retired",
        }
    }

    /// The state of that name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A key and its state.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) key: Arc<Key>,
    pub(super) state: KeyState,
}

/// Keys in the order in which they came.
#[derive(Debug, Clone)]
pub(super) struct Ring(Vec<Slot>);

impl Ring {
    /// A ring of one key, which is current.
    pub(super) fn new(first: Key) -> Self {
        Self(vec![Slot { key: Arc::new(first), state: KeyState::Current }])
    }

    /// From what was written; `Err` says what cannot have been.
    pub(super) fn from_slots(slots: Vec<Slot>) -> Result<Self, &'static str> {
        if slots.len() > MOST_KEYS {
            return Err("it holds too many keys");
        }
        if slots.iter().filter(|slot| slot.state == KeyState::Current).count() != 1 {
            return Err("not exactly one key is current");
        }
        let twice = |(at, slot): (usize, &Slot)| slots[..at].iter().any(|other| other.key.id == slot.key.id);
        if slots.iter().enumerate().any(twice) {
            return Err("two keys have one id");
        }
        Ok(Self(slots))
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.0
    }

    /// The key that seals.
    pub(super) fn current(&self) -> &Arc<Key> {
        let current = self.0.iter().find(|slot| slot.state == KeyState::Current);
        &current.expect("every step leaves exactly one key current").key
    }

    /// The key of this number.
    pub(super) fn key(&self, id: KeyId) -> Option<&Arc<Key>> {
        self.0.iter().find(|slot| slot.key.id == id).map(|slot| &slot.key)
    }

    /// The key that a user means.
    pub(super) fn find(&self, id: &str) -> Result<KeyId, KeyringError> {
        let parsed = KeyId::parse(id).ok_or(KeyringError::NotAnId)?;
        let unknown = || KeyringError::Unknown(parsed.to_string());
        self.key(parsed).map(|_| parsed).ok_or_else(unknown)
    }

    /// Adds a key. One that is there already stays what it is.
    pub(super) fn install(&mut self, key: Key) -> Result<(), KeyringError> {
        match self.key(key.id) {
            Some(own) if own.same_secret(&key) && own.created_at == key.created_at => return Ok(()),
            Some(_) => {
                let what = format!("holds another key under the id {}, which is taken here", key.id);
                return Err(KeyringError::Invalid { argument: "exported", what });
            }
            None if self.0.len() >= MOST_KEYS => return Err(KeyringError::Full),
            None => {}
        }
        self.0.push(Slot { key: Arc::new(key), state: KeyState::Installed });
        Ok(())
    }

    /// Makes a key the one that seals, and retires the one before.
    pub(super) fn make_current(&mut self, id: &str) -> Result<(), KeyringError> {
        let id = self.find(id)?;
        for slot in &mut self.0 {
            if slot.key.id == id {
                slot.state = KeyState::Current;
            } else if slot.state == KeyState::Current {
                slot.state = KeyState::Retired;
            }
        }
        Ok(())
    }

    /// Takes a key out of use; it still opens. One that is retired already stays so.
    pub(super) fn retire(&mut self, id: &str) -> Result<(), KeyringError> {
        let slot = self.slot(id)?;
        if slot.state == KeyState::Current {
            return Err(state(id, "is the current key, which seals: use another one first"));
        }
        slot.state = KeyState::Retired;
        Ok(())
    }

    /// Forgets a key: what was sealed with it never opens again.
    pub(super) fn remove(&mut self, id: &str) -> Result<(), KeyringError> {
        match self.slot(id)?.state {
            KeyState::Current => {
                return Err(state(id, "is the current key, which seals: use another one first"));
            }
            // Others may be using it already, and what they send would not open here.
            KeyState::Installed => return Err(state(id, "is installed and not retired: retire it first")),
            KeyState::Retired => {}
        }
        let id = self.find(id)?;
        self.0.retain(|slot| slot.key.id != id);
        Ok(())
    }

    fn slot(&mut self, id: &str) -> Result<&mut Slot, KeyringError> {
        let id = self.find(id)?;
        Ok(self.0.iter_mut().find(|slot| slot.key.id == id).expect("find() found it"))
    }
}

fn state(id: &str, what: &str) -> KeyringError {
    KeyringError::Invalid { argument: "keyId", what: format!("{id:?} {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use zeroize::Zeroizing;

    fn key(number: u8, secret: u8) -> Key {
        Key::new(KeyId([number; 8]), 5, Zeroizing::new([secret; 32])).unwrap()
    }

    fn states(ring: &Ring) -> BTreeMap<KeyId, KeyState> {
        ring.slots().iter().map(|slot| (slot.key.id, slot.state)).collect()
    }

    /// What each step leads to, written as a table: the next state of a key in each state, or `None` for a refusal.
    fn expected(step: &str, state: Option<KeyState>) -> Option<Option<KeyState>> {
        use KeyState::{Current, Installed, Retired};
        match (step, state) {
            ("install", None) => Some(Some(Installed)),
            ("install", there) => Some(there),
            (_, None) => None,
            ("use", Some(_)) => Some(Some(Current)),
            ("retire", Some(Installed | Retired)) => Some(Some(Retired)),
            ("remove", Some(Retired)) => Some(None),
            _ => None,
        }
    }

    #[test]
    fn any_steps_in_any_order_do_what_the_table_says() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut ring = Ring::new(key(0, 0));
            let mut model = states(&ring);
            for _ in 0..60 {
                let number = random.u8(..6);
                let id = KeyId([number; 8]);
                let step = ["install", "use", "retire", "remove"][random.usize(..4)];
                let name = id.to_string();
                let done = match step {
                    "install" => ring.install(key(number, number)),
                    "use" => ring.make_current(&name),
                    "retire" => ring.retire(&name),
                    _ => ring.remove(&name),
                };
                let before = model.get(&id).copied();
                match expected(step, before) {
                    Some(after) => {
                        done.unwrap_or_else(|error| panic!("seed {seed}: {step} of {before:?}: {error}"));
                        if after == Some(KeyState::Current) && before != after {
                            let current = model.values_mut().find(|state| **state == KeyState::Current);
                            *current.unwrap() = KeyState::Retired;
                        }
                        match after {
                            Some(state) => drop(model.insert(id, state)),
                            None => drop(model.remove(&id)),
                        }
                    }
                    None => assert!(done.is_err(), "seed {seed}: {step} of {before:?} was not refused"),
                }
                assert_eq!(states(&ring), model, "seed {seed}: after {step}");
                assert_eq!(states(&ring)[&ring.current().id], KeyState::Current);
            }
        }
    }

    #[test]
    fn a_refusal_says_which_key_and_why() {
        let mut ring = Ring::new(key(0, 0));
        ring.install(key(1, 1)).unwrap();
        let (current, installed) = ("0000000000000000", "0101010101010101");
        let said = |result: Result<(), KeyringError>| result.unwrap_err().to_string();
        assert!(said(ring.retire(current)).contains("\"0000000000000000\" is the current key"));
        assert!(said(ring.remove(current)).contains("use another one first"));
        assert!(said(ring.remove(installed)).contains("retire it first"));
        let unknown = ring.make_current("0202020202020202").unwrap_err();
        assert!(matches!(unknown, KeyringError::Unknown(_)), "{unknown}");
        // It may be a passphrase in the wrong place.
        for other in ["", "nobody", &"x".repeat(1000)] {
            let error = ring.make_current(other).unwrap_err();
            assert!(matches!(error, KeyringError::NotAnId), "{error}");
            assert!(other.is_empty() || !error.to_string().contains(other), "{error}");
        }
    }

    #[test]
    fn a_number_that_is_taken_is_refused_with_another_secret() {
        let mut ring = Ring::new(key(0, 0));
        ring.install(key(1, 1)).unwrap();
        ring.install(key(1, 1)).unwrap();
        let error = ring.install(key(1, 2)).unwrap_err();
        assert!(matches!(error, KeyringError::Invalid { argument: "exported", .. }), "{error}");
        assert_eq!(ring.slots().len(), 2);
    }

    #[test]
    fn a_ring_has_an_end() {
        let mut ring = Ring::new(key(0, 0));
        for number in 1..MOST_KEYS as u64 {
            ring.install(Key::new(KeyId(number.to_be_bytes()), 0, Zeroizing::new([1; 32])).unwrap()).unwrap();
        }
        let one_more = Key::new(KeyId([0xff; 8]), 0, Zeroizing::new([1; 32])).unwrap();
        assert!(matches!(ring.install(one_more), Err(KeyringError::Full)));
        // One that is there is no new one.
        ring.install(Key::new(KeyId(1_u64.to_be_bytes()), 0, Zeroizing::new([1; 32])).unwrap()).unwrap();
    }
}
