//! Learners. Matches are found by the facade's search; what they are worth is decided on the learner's own thread.

use super::errors::{Code, invalid};
use super::task::{answered_promise, fallible_promise, promise};
use crate::bank::{Bank, BankError, Heads};
use crate::calls::arguments::{copy, dtw_options, natural};
use crate::learn::{
    Adaptation, Config, Decision, Direction, DistillError, DistillOptions, Event, Experience, ExperienceId,
    Learner, Policy, Representative, Trajectory, Verdict, codec,
};
use crate::store::StoreError;
use napi::bindgen_prelude::{Float64Array, PromiseRaw, Uint8Array};
use napi::{Env, Error};
use napi_derive::napi;
use std::path::PathBuf;
use std::sync::Arc;

/// An open learner.
#[napi]
pub struct NativeLearner(Bank);

/// What is decided on a match.
#[napi(object, object_from_js = false)]
pub struct NativeAssessment {
    pub id: String,
    /// 1 or -1, expected return, lower and upper end, confidence; none: no signal.
    pub signal: Option<Vec<f64>>,
    pub reason: String,
}

/// A threshold that moved.
#[napi(object, object_from_js = false)]
pub struct NativeAdaptation {
    pub family: String,
    pub parameter: String,
    pub reason: String,
    /// From, to, n, win rate, lower, upper, instant.
    pub numbers: Vec<f64>,
}

/// What an outcome says.
#[napi(object, object_from_js = false)]
pub struct NativeVerdict {
    pub quality: f64,
    pub direction_correct: bool,
    pub magnitude_error: f64,
    pub net_return: f64,
    pub learned: bool,
    pub adaptations: Vec<NativeAdaptation>,
}

/// A verdict on an experience of anybody.
#[napi(object, object_from_js = false)]
pub struct NativeJudged {
    pub id: String,
    pub family: String,
    /// Similarity, predicted, actual.
    pub numbers: Vec<f64>,
    pub verdict: NativeVerdict,
}

/// A shape with proof.
#[napi(object, object_from_js = false)]
pub struct NativeDistilled {
    pub family: String,
    pub medoid: String,
    pub values: Float64Array,
    /// Samples, win rate, mean return, lower bound, mean outcome, instant of the last outcome.
    pub numbers: Vec<f64>,
    /// Of the medoid, as JSON.
    pub context: String,
}

/// Outcomes of a family, for the report.
#[napi(object, object_from_js = false)]
pub struct NativeHistory {
    pub family: String,
    /// Of each outcome: instant of the match, instant of the outcome, predicted, actual, net return, confidence,
    /// similarity, taken or 0.
    pub outcomes: Float64Array,
    pub ids: Vec<String>,
    pub adaptations: Vec<NativeAdaptation>,
}

/// Opens a learner. `numbers` are: cost, policy (0 evidence, 1 utility), alpha, half-life in outcomes, half-life in
/// milliseconds (NaN: none), samples, threshold of similarity, of confidence, periods a year (NaN: none).
#[napi(catch_unwind, ts_return_type = "Promise<NativeLearner>")]
pub fn open_learner<'env>(
    env: &'env Env,
    directory: Option<String>,
    numbers: &[f64],
) -> Result<PromiseRaw<'env, NativeLearner>, Error<Code>> {
    let &[cost, policy, alpha, events, millis, samples, similarity, confidence, periods] = numbers else {
        return Err(invalid(format!("{} numbers are no options of a learner", numbers.len())));
    };
    let number = |value: f64| (!value.is_nan()).then_some(value);
    let config = Config {
        cost,
        policy: if policy == 1.0 { Policy::Utility } else { Policy::Evidence },
        alpha,
        half_life_events: events,
        half_life_ms: number(millis),
        min_samples: samples,
        similarity_threshold: similarity,
        confidence_threshold: confidence,
        periods_per_year: number(periods),
        ..Config::default()
    };
    let directory = directory.map(PathBuf::from);
    fallible_promise(env, move || Bank::open(config, directory.as_deref()).map_err(code), NativeLearner)
}

#[napi]
impl NativeLearner {
    /// `numbers` are: similarity, confidence, predicted, instant, end of the horizon (NaN: none), volatility (NaN: not
    /// known), taken (not 0).
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn record<'env>(
        &self,
        env: &'env Env,
        family: String,
        numbers: &[f64],
        context: String,
        values: &[f64],
    ) -> Result<PromiseRaw<'env, String>, Error<Code>> {
        let experience = experience(family, numbers, context, values)?;
        let start = |answer: Settle<ExperienceId>| {
            self.0.record(experience, Box::new(move |id| answer(id.map_err(code))));
            Ok(())
        };
        answered_promise(env, start, |id| id.to_string())
    }

    /// The same for a match that is to be decided on; `taken` is not looked at.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeAssessment>")]
    pub fn assess<'env>(
        &self,
        env: &'env Env,
        family: String,
        numbers: &[f64],
        context: String,
        values: &[f64],
    ) -> Result<PromiseRaw<'env, NativeAssessment>, Error<Code>> {
        let experience = experience(family, numbers, context, values)?;
        let start = |answer: Settle<(ExperienceId, Decision)>| {
            self.0.assess(experience, Box::new(move |decided| answer(decided.map_err(code))));
            Ok(())
        };
        answered_promise(env, start, |(id, decision)| NativeAssessment {
            id: id.to_string(),
            signal: decision.signal.map(|signal| {
                let direction = if signal.direction == Direction::Long { 1.0 } else { -1.0 };
                let (lower, upper) = signal.interval;
                vec![direction, signal.expected_return, lower, upper, signal.confidence]
            }),
            reason: decision.reason.to_string(),
        })
    }

    /// `at` NaN: not said.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeVerdict>")]
    pub fn resolve<'env>(
        &self,
        env: &'env Env,
        id: String,
        actual: f64,
        at: f64,
        now: f64,
    ) -> Result<PromiseRaw<'env, NativeVerdict>, Error<Code>> {
        let id: ExperienceId = id.parse().map_err(|_| Error::new(Code::NOT_FOUND, no_experience(&id)))?;
        let start = |answer: Settle<Verdict>| {
            let at = (!at.is_nan()).then_some(at);
            self.0.resolve(id, actual, at, now, Box::new(move |verdict| answer(verdict.map_err(code))));
            Ok(())
        };
        answered_promise(env, start, NativeVerdict::from)
    }

    /// Similarity, confidence, outcomes.
    #[napi(catch_unwind)]
    pub fn thresholds(&self, family: String) -> Option<Vec<f64>> {
        let known = self.0.thresholds(&family)?;
        Some(vec![known.similarity, known.confidence, known.samples as f64])
    }

    /// In the order of the fields of [`Trajectory`].
    #[napi(catch_unwind, ts_return_type = "Promise<Float64Array>")]
    pub fn trajectory<'env>(
        &self,
        env: &'env Env,
        family: String,
        at: f64,
    ) -> Result<PromiseRaw<'env, Float64Array>, Error<Code>> {
        let bank = self.0.clone();
        let work = move || {
            let found = bank.learner().trajectory(&family, at);
            found.map(|found| figures(&found)).map_err(|error| code(error.into()))
        };
        fallible_promise(env, work, Float64Array::from)
    }

    /// `metric`, `window` and `normalize` as in `dtw`.
    #[napi(catch_unwind, ts_return_type = "Promise<Array<NativeDistilled>>")]
    pub fn distill<'env>(
        &self,
        env: &'env Env,
        min_samples: f64,
        min_lower_bound: f64,
        length: f64,
        channels: f64,
        window: f64,
        metric: u32,
        normalize: u32,
    ) -> Result<PromiseRaw<'env, Vec<NativeDistilled>>, Error<Code>> {
        let options = DistillOptions {
            min_samples: natural("minSamples", min_samples)?,
            min_lower_bound,
            dtw: dtw_options(metric, window, normalize, f64::INFINITY)?,
            length: natural("length", length)?,
            channels: natural("channels", channels)?,
            representative: Representative::Medoid,
            at: f64::MAX,
            seed: 0,
        };
        let bank = self.0.clone();
        let work = move |job: &crate::search::Job| {
            // A copy, because clustering takes long and the writer would wait.
            let learner: Learner = bank.learner().clone();
            let found = match crate::learn::distill(&learner, &options, job) {
                Ok(found) => found,
                Err(DistillError::Kernel(error)) => return Err(error),
                Err(error) => return Ok(Err(error.to_string())),
            };
            let context = |id| Some(learner.events().get(id)?.experience.as_ref()?.context.to_string());
            Ok(Ok(found.into_iter().map(|one| (context(one.medoid).unwrap_or_default(), one)).collect()))
        };
        type Found = Result<Vec<(String, crate::learn::Distilled)>, String>;
        promise(env, None, work, |found: Found| {
            let native = |(context, one): (String, crate::learn::Distilled)| NativeDistilled {
                family: one.family.to_string(),
                medoid: one.medoid.to_string(),
                values: Float64Array::from(one.values),
                numbers: vec![
                    one.samples as f64,
                    one.win_rate,
                    one.mean_return,
                    one.lower_bound,
                    one.mean_outcome,
                    one.known_at,
                ],
                context,
            };
            // Matches of another shape than the library's do not cluster; there is nothing to remember of them.
            found.unwrap_or_default().into_iter().map(native).collect::<Vec<_>>()
        })
    }

    /// All that happened, family by family.
    #[napi(catch_unwind, ts_return_type = "Promise<Array<NativeHistory>>")]
    pub fn history<'env>(&self, env: &'env Env) -> Result<PromiseRaw<'env, Vec<NativeHistory>>, Error<Code>> {
        let bank = self.0.clone();
        fallible_promise(
            env,
            move || Ok(histories(&bank.learner())),
            |found| {
                let native = |(family, ids, outcomes, adaptations): History| NativeHistory {
                    family,
                    outcomes: Float64Array::from(outcomes),
                    ids,
                    adaptations: adaptations.into_iter().map(NativeAdaptation::from).collect(),
                };
                found.into_iter().map(native).collect::<Vec<_>>()
            },
        )
    }

    /// The shape of an experience; none where it has none.
    #[napi(catch_unwind)]
    pub fn values(&self, id: String) -> Option<Float64Array> {
        let id: ExperienceId = id.parse().ok()?;
        let learner = self.0.learner();
        let experience = learner.events().get(id)?.experience.as_ref()?;
        Some(Float64Array::from(experience.values.to_vec()))
    }

    /// What is known of each node's log, as bytes.
    #[napi(catch_unwind)]
    pub fn heads(&self) -> Uint8Array {
        let pairs = self.0.heads().into_iter();
        let bytes = pairs.flat_map(|(node, seq)| node.to_le_bytes().into_iter().chain(seq.to_le_bytes()));
        Uint8Array::from(bytes.collect::<Vec<u8>>())
    }

    /// Events that somebody with these heads lacks, as bytes; empty when there are none.
    #[napi(catch_unwind)]
    pub fn since(&self, heads: &[u8], most: f64) -> Result<Uint8Array, Error<Code>> {
        let known = heads_of(heads)?;
        let mut bytes = Vec::new();
        for (place, event) in self.0.since(&known, natural("most", most)?) {
            let event = codec::encode(&event);
            bytes.extend(place.node.to_le_bytes());
            bytes.extend(place.seq.to_le_bytes());
            bytes.extend((event.len() as u32).to_le_bytes());
            bytes.extend(event);
        }
        Ok(Uint8Array::from(bytes))
    }

    /// Verdicts on what became known between two states of the logs.
    #[napi(catch_unwind)]
    pub fn judged(&self, after: &[u8], until: &[u8]) -> Result<Vec<NativeJudged>, Error<Code>> {
        let ids = self.0.resolved(&heads_of(after)?, &heads_of(until)?);
        let learner = self.0.learner();
        let judged = |id: ExperienceId| {
            let (experience, outcome) = learner.events().get(id)?.known()?;
            Some(NativeJudged {
                id: id.to_string(),
                family: experience.family.to_string(),
                numbers: vec![experience.similarity, experience.predicted, outcome?.actual],
                verdict: learner.verdict(id)?.into(),
            })
        };
        Ok(ids.into_iter().filter_map(judged).collect())
    }

    /// All families that have matched.
    #[napi(catch_unwind)]
    pub fn families(&self) -> Vec<String> {
        self.0.families().iter().map(|family| family.to_string()).collect()
    }

    /// The moves of a family's thresholds, oldest first.
    #[napi(catch_unwind)]
    pub fn adaptations(&self, family: String) -> Vec<NativeAdaptation> {
        self.0.learner().adaptations(&family).into_iter().map(NativeAdaptation::from).collect()
    }

    /// Takes over such events; how many were news.
    #[napi(catch_unwind, ts_return_type = "Promise<number>")]
    pub fn merge<'env>(&self, env: &'env Env, bytes: &[u8]) -> Result<PromiseRaw<'env, f64>, Error<Code>> {
        let events = events(&copy("events", bytes)?)?;
        let start = |answer: Settle<usize>| {
            self.0.merge(events, Box::new(move |news| answer(news.map_err(code))));
            Ok(())
        };
        answered_promise(env, start, |news| news as f64)
    }

    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn close<'env>(&self, env: &'env Env) -> Result<PromiseRaw<'env, ()>, Error<Code>> {
        let start = |answer: Settle<()>| {
            self.0.close(Box::new(move |closed| answer(closed.map_err(code))));
            Ok(())
        };
        answered_promise(env, start, |()| ())
    }
}

type Settle<T> = Box<dyn FnOnce(Result<T, Error<Code>>) + Send>;

type History = (String, Vec<String>, Vec<f64>, Vec<Adaptation>);

fn experience(
    family: String,
    numbers: &[f64],
    context: String,
    values: &[f64],
) -> Result<Experience, Error<Code>> {
    let &[similarity, confidence, predicted, at, horizon, volatility, taken] = numbers else {
        return Err(invalid(format!("{} numbers are no experience", numbers.len())));
    };
    let number = |value: f64| (!value.is_nan()).then_some(value);
    Ok(Experience {
        id: ExperienceId { node: 0, seq: 0 },
        family: family.into(),
        similarity,
        confidence,
        predicted,
        at,
        horizon_ends_at: number(horizon),
        taken: taken != 0.0,
        volatility: number(volatility),
        context: context.into(),
        values: copy("values", values)?.into(),
    })
}

fn heads_of(heads: &[u8]) -> Result<Heads, Error<Code>> {
    let mut known = Heads::new();
    for pair in heads.chunks(24) {
        let [node @ .., _, _, _, _, _, _, _, _] = pair else { return Err(invalid("heads are cut off")) };
        let (Ok(node), Ok(seq)) = (node.try_into(), pair[pair.len() - 8..].try_into()) else {
            return Err(invalid("heads are cut off"));
        };
        known.insert(u128::from_le_bytes(node), u64::from_le_bytes(seq));
    }
    Ok(known)
}

fn events(mut bytes: &[u8]) -> Result<Vec<(ExperienceId, Event)>, Error<Code>> {
    let damaged = || Error::new(Code::CORRUPT, "what came is no list of experiences".to_owned());
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_at_checked(28).ok_or_else(damaged)?;
        let node = head[..16].try_into().map_err(|_| damaged())?;
        let seq = head[16..24].try_into().map_err(|_| damaged())?;
        let length = u32::from_le_bytes(head[24..].try_into().map_err(|_| damaged())?);
        let (event, rest) = rest.split_at_checked(length as usize).ok_or_else(damaged)?;
        let place = ExperienceId { node: u128::from_le_bytes(node), seq: u64::from_le_bytes(seq) };
        found.push((place, codec::decode(place, event).map_err(|_| damaged())?));
        bytes = rest;
    }
    Ok(found)
}

fn histories(learner: &Learner) -> Vec<History> {
    let end = crate::learn::Instant::new("at", f64::MAX).expect("the largest number is finite");
    let of = |family: &Arc<str>| {
        let known = learner.outcomes(family, end);
        let ids = known.iter().map(|(experience, ..)| experience.id.to_string()).collect();
        let row = |(experience, outcome, net): &(Arc<Experience>, crate::learn::Resolution, f64)| {
            let taken = if experience.taken { 1.0 } else { 0.0 };
            let Experience { at, predicted, confidence, similarity, .. } = **experience;
            [at, outcome.at, predicted, outcome.actual, *net, confidence, similarity, taken]
        };
        (family.to_string(), ids, known.iter().flat_map(row).collect(), learner.adaptations(family))
    };
    learner.families().map(of).collect()
}

fn figures(found: &Trajectory) -> Vec<f64> {
    vec![
        found.samples as f64,
        found.expired as f64,
        found.win_rate,
        found.win_rate_interval.0,
        found.win_rate_interval.1,
        found.mean_return,
        found.sharpe,
        found.sortino,
        found.max_drawdown,
        found.calmar,
        found.profit_factor,
        found.value_at_risk,
        found.expected_shortfall,
        found.best,
        found.worst,
        found.calibration.coverage,
        found.calibration.target,
    ]
}

impl From<Adaptation> for NativeAdaptation {
    fn from(adaptation: Adaptation) -> Self {
        let Adaptation { family, parameter, from, to, reason, evidence, at } = adaptation;
        let numbers = vec![from, to, evidence.n, evidence.win_rate, evidence.lower, evidence.upper, at];
        Self { family: family.to_string(), parameter: parameter.as_str().to_owned(), reason, numbers }
    }
}

impl From<Verdict> for NativeVerdict {
    fn from(Verdict { judgement, adaptations, .. }: Verdict) -> Self {
        Self {
            quality: judgement.quality,
            direction_correct: judgement.direction_correct,
            magnitude_error: judgement.magnitude_error,
            net_return: judgement.net_return,
            learned: judgement.learned(),
            adaptations: adaptations.into_iter().map(NativeAdaptation::from).collect(),
        }
    }
}

fn no_experience(id: &str) -> String {
    let id: String = id.chars().take(60).collect();
    format!("no experience has the id {id:?}")
}

fn code(error: BankError) -> Error<Code> {
    use crate::learn::EventError;
    use crate::swarm::SwarmCode;
    let code = match &error {
        BankError::Event(EventError::Unknown(_)) => Code::NOT_FOUND,
        BankError::Event(_) | BankError::Config(_) => Code::INVALID_ARGUMENT,
        BankError::Store(error) => match **error {
            StoreError::Corrupt { .. } => Code::CORRUPT,
            StoreError::Schema { .. } => Code::SCHEMA,
            _ => Code::STORE,
        },
        BankError::Differs { .. } => Code::Swarm(SwarmCode::IdempotencyMismatch),
        BankError::Overloaded => Code::Swarm(SwarmCode::Overloaded),
        BankError::Closed => Code::Swarm(SwarmCode::Closed),
        _ => Code::INTERNAL,
    };
    Error::new(code, error.to_string())
}
