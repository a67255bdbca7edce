//! A request as a `curl` command, with shell variables in place of what the history masks.

use crate::outbound::MASK;

use super::data::Sent;

/// Headers that curl writes itself.
const OWN: [&str; 4] = ["content-length", "host", "connection", "transfer-encoding"];

/// The command, and the variables that it needs.
pub(super) fn command(request: &Sent) -> (String, Vec<String>) {
    let mut variables = Vec::new();
    let mut command = format!("curl -i -X {} {}", request.method, quoted(&request.url, "URL_SECRET", &mut variables));
    for (name, value) in request.headers.iter().filter(|(name, _)| !OWN.contains(&name.to_lowercase().as_str())) {
        let line = format!("{name}: {}", value.as_str().unwrap_or_default());
        command.push_str(&format!(" \\\n  -H {}", quoted(&line, &variable(name), &mut variables)));
    }
    if request.body.is_empty() {
        return (command, variables);
    }
    let body = quoted(&request.body, "BODY_SECRET", &mut variables);
    if request.encoding.is_some() {
        return (format!("printf %s {body} | base64 -d | {command} \\\n  --data-binary @-"), variables);
    }
    // With `@` at its front the text would be the name of a file.
    (format!("{command} \\\n  --data-raw {body}"), variables)
}

/// A text as one word of a shell; what is masked becomes the variable.
fn quoted(text: &str, variable: &str, variables: &mut Vec<String>) -> String {
    let parts: Vec<_> = text.split(MASK).map(|part| format!("'{}'", part.replace('\'', "'\\''"))).collect();
    if parts.len() > 1 && !variables.iter().any(|known| known == variable) {
        variables.push(variable.to_owned());
    }
    parts.join(&format!("\"${variable}\""))
}

/// The variable for a header.
fn variable(header: &str) -> String {
    header.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::{Map, json};

    use super::*;

    fn request(url: &str, headers: &serde_json::Value, body: &str, encoding: Option<&str>) -> Sent {
        let headers = headers.as_object().cloned().unwrap_or_else(Map::new);
        let encoding = encoding.map(str::to_owned);
        Sent { method: "POST".to_owned(), url: url.to_owned(), headers, body: body.to_owned(), encoding }
    }

    /// The words that a shell makes of the command.
    fn words(command: &str) -> Vec<String> {
        let script = format!(
            "curl() {{ printf '%s\\n' \"$@\"; cat; }}\nAUTHORIZATION=s3cret URL_SECRET=k3y\n{command} </dev/null"
        );
        let output = Command::new("sh").args(["-euc", &script]).output().expect("a shell");
        String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_shell_reads_every_part_as_it_was_sent_and_secrets_from_variables() {
        let headers = json!({"Authorization": "Bearer ***", "X-Name": "O'Neil $HOME `id`", "Content-Length": "7"});
        let (command, variables) = command(&request("http://a/b?k=***&x='$(id)'", &headers, "@it's \\ \"$1\"", None));
        assert_eq!(variables, ["URL_SECRET", "AUTHORIZATION"]);
        let expected = [
            "-i",
            "-X",
            "POST",
            "http://a/b?k=k3y&x='$(id)'",
            "-H",
            "Authorization: Bearer s3cret",
            "-H",
            "X-Name: O'Neil $HOME `id`",
            "--data-raw",
            "@it's \\ \"$1\"",
        ];
        assert_eq!(words(&command), expected);
    }

    #[test]
    fn bytes_that_are_no_text_are_decoded_on_the_way() {
        let (command, variables) = command(&request("http://a", &json!({}), "aGVsbG8=", Some("base64")));
        assert_eq!(variables, Vec::<String>::new());
        let script = command.replace("base64 -d | curl", "base64 -d | cat; : curl");
        let output = Command::new("sh").args(["-euc", &script]).output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hello");
    }
}
