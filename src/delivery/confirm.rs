//! `confirm_body`: a receiver that says in a 200's body that it did not take the delivery after all.

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::domain::Code;
use crate::domain::json;
use crate::outbound::{Reply, header};

/// Whether a response is a 200 with a JSON object whose `success` is `false`.
pub(super) fn is_denied(reply: &Reply) -> bool {
    let media = reply.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = media.and_then(|text| text.split(';').next()).unwrap_or_default();
    reply.code == Code::status(200) && media.trim().eq_ignore_ascii_case("application/json") && denies(&reply.body)
}

/// Whether `success` is `false`, or that word as text, as many receivers of forms write it. A body that was cut off counts as far as it goes.
fn denies(body: &[u8]) -> bool {
    let body = body.strip_prefix(json::BOM).unwrap_or(body);
    let mut success = None;
    // An error may come behind what was looked for.
    let _ = serde_json::Deserializer::from_slice(body).deserialize_map(Success(&mut success));
    let Some(success) = success.map(RawValue::get) else { return false };
    success == "false" || json::unquoted(success).is_some_and(|text| text.trim().eq_ignore_ascii_case("false"))
}

struct Success<'a, 'de>(&'a mut Option<&'de RawValue>);

impl<'de> Visitor<'de> for Success<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<&'de RawValue>()? {
            if json::unquoted(name.get()).is_some_and(|name| name == "success") {
                *self.0 = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_false_success_at_the_top_denies() {
        for (body, expected) in [
            (r#"{"success": false}"#, true),
            (r#" { "code": [1, {"success": true}], "success" : false , "x": 1} "#, true),
            (r#"{"success": true, "success": false}"#, true),
            (r#"{"success": false, "message": "cut off he"#, true),
            (r#"{"success": false, "success": true}"#, false),
            (r#"{"success": true}"#, false),
            (r#"{"success": "false"}"#, true),
            (r#"{"success": " False "}"#, true),
            ("\u{feff}{\"success\": false}", true),
            (r#"{"\ud800": 1, "success": false}"#, true),
            (r#"{"$serde_json::private::Number": "x", "success": false}"#, true),
            (r#"{"success": {"$serde_json::private::RawValue": "false"}}"#, false),
            (r#"{"success": "no"}"#, false),
            (r#"{"success": "true"}"#, false),
            (r#"{"success": 0}"#, false),
            (r#"{"success": null}"#, false),
            (r#"{"Success": false}"#, false),
            (r#"{"result": {"success": false}}"#, false),
            (r#"[{"success": false}]"#, false),
            (r#"{"success": fal"#, false),
            ("false", false),
            ("", false),
        ] {
            assert_eq!(denies(body.as_bytes()), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_deny_or_do_not(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = denies(&body);
        }

        #[test]
        fn an_object_denies_wherever_its_success_stands(before in "[a-z]{1,4}", text in "\\PC{0,20}", success: bool) {
            let body = serde_json::json!({ before: [text], "success": success, "z": {"success": !success} }).to_string();
            prop_assert_eq!(denies(body.as_bytes()), !success);
        }
    }
}
