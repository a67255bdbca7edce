//! A channel's response rules: which outcome an attempt has, by the first rule that matches.

use std::fmt;
use std::str::FromStr;

use super::code::Code;
use super::delivery::Outcome;

/// A set of responses that a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// One HTTP status: `410`.
    Status(u16),
    /// HTTP statuses from one to another, both included: `500-504`.
    Range(u16, u16),
    /// All statuses of a hundred: `2xx`.
    Family(u8),
    /// Credentials or token refused: a 401 after credentials were sent, or code -9.
    Auth,
    /// The time ran out: codes -4 and -5.
    Timeout,
    /// No usable response, for another reason than time.
    Error,
    /// Whatever happened.
    Any,
}

impl Class {
    /// The classes that are words, for error messages and documents.
    pub const WORDS: &'static [&'static str] = &["auth", "timeout", "error", "any"];

    /// Whether an attempt that ended with `code` is meant; `auth` tells that it ended for want of accepted credentials.
    pub fn matches(self, code: Code, auth: bool) -> bool {
        let status = code.http_status();
        match self {
            Self::Status(one) => status == Some(one),
            Self::Range(from, to) => status.is_some_and(|status| (from..=to).contains(&status)),
            Self::Family(hundred) => status.is_some_and(|status| status / 100 == u16::from(hundred)),
            Self::Auth => auth || code == Code::AUTH,
            Self::Timeout => code.is_timeout(),
            Self::Error => status.is_none() && !code.is_timeout(),
            Self::Any => true,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Range(from, to) => write!(f, "{from}-{to}"),
            Self::Family(hundred) => write!(f, "{hundred}xx"),
            Self::Auth => f.write_str("auth"),
            Self::Timeout => f.write_str("timeout"),
            Self::Error => f.write_str("error"),
            Self::Any => f.write_str("any"),
        }
    }
}

/// The text names no class of responses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a status (404), a class (4xx), a range (500-504), auth, timeout, error or any")]
pub struct NotAClass;

impl FromStr for Class {
    type Err = NotAClass;

    fn from_str(text: &str) -> Result<Self, NotAClass> {
        let status = |text: &str| match text.parse::<u16>() {
            Ok(status) if text.len() == 3 && (100..=599).contains(&status) => Ok(status),
            _ => Err(NotAClass),
        };
        match text {
            "auth" => Ok(Self::Auth),
            "timeout" => Ok(Self::Timeout),
            "error" => Ok(Self::Error),
            "any" => Ok(Self::Any),
            _ => {
                if let Some(hundred) = text.strip_suffix("xx") {
                    return match hundred.parse() {
                        Ok(hundred @ 1..=5) if text.len() == 3 => Ok(Self::Family(hundred)),
                        _ => Err(NotAClass),
                    };
                }
                if let Some((from, to)) = text.split_once('-') {
                    let (from, to) = (status(from)?, status(to)?);
                    return if from <= to { Ok(Self::Range(from, to)) } else { Err(NotAClass) };
                }
                status(text).map(Self::Status)
            }
        }
    }
}

/// One rule: which responses, and what then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The responses meant.
    pub on: Vec<Class>,
    /// What they make of the attempt.
    pub then: Outcome,
}

/// A channel's rules, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes(Vec<Rule>);

impl Outcomes {
    /// Rules in the order in which they are tried.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }

    /// The outcome of an attempt that ended with `code`. What cannot go better fails before any rule; what no rule
    /// names is failed.
    pub fn decide(&self, code: Code, auth: bool) -> Outcome {
        if code.is_final() {
            return Outcome::Failed;
        }
        self.0
            .iter()
            .find(|rule| rule.on.iter().any(|class| class.matches(code, auth)))
            .map_or(Outcome::Failed, |rule| rule.then)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class() -> impl Strategy<Value = Class> {
        prop_oneof![
            (100u16..600).prop_map(Class::Status),
            (100u16..600, 0u16..100).prop_map(|(from, more)| Class::Range(from, (from + more).min(599))),
            (1u8..=5).prop_map(Class::Family),
            Just(Class::Auth),
            Just(Class::Timeout),
            Just(Class::Error),
            Just(Class::Any),
        ]
    }

    fn code() -> impl Strategy<Value = Code> {
        prop_oneof![(100u16..600).prop_map(Code::status), (-9i32..0).prop_map(Code::from_i32), Just(Code::NOT_BUILT)]
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        proptest::sample::select(Outcome::ALL)
    }

    proptest! {
        #[test]
        fn a_class_reads_back_as_written(class in class()) {
            prop_assert_eq!(class.to_string().parse(), Ok(class));
        }

        #[test]
        fn any_text_is_a_class_or_an_error(text in ".{0,12}") {
            if let Ok(class) = text.parse::<Class>() {
                prop_assert_eq!(class.to_string(), text);
            }
        }

        #[test]
        fn the_first_rule_that_matches_decides(rules in proptest::collection::vec((class(), outcome()), 0..6), code in code(), auth: bool) {
            let outcomes = Outcomes::new(rules.iter().map(|(class, then)| Rule { on: vec![*class], then: *then }).collect());
            let expected = rules.iter().find(|(class, _)| class.matches(code, auth)).map_or(Outcome::Failed, |(_, then)| *then);
            let decided = outcomes.decide(code, auth);
            if code.is_final() {
                prop_assert_eq!(decided, Outcome::Failed);
            } else {
                prop_assert_eq!(decided, expected);
            }
        }

        #[test]
        fn every_code_is_a_status_a_timeout_or_an_error(code in code()) {
            let kinds = [code.http_status().is_some(), Class::Timeout.matches(code, false), Class::Error.matches(code, false)];
            prop_assert_eq!(kinds.iter().filter(|kind| **kind).count(), 1);
        }
    }
}
