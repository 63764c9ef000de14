//! Asks the API server whether it would take objects, of which nothing is stored. Talks to the API server.

use crate::cluster::Cluster;
use crate::error::chain;
use crate::model::action::Reply;
use crate::model::manifest::Manifest;

/// What is said where a webhook does not answer questions, but only what is in earnest.
const NOT_ASKED: &str = "does not support dry run";
/// What is said of fields that a kind does not have, as if it were the server's own fault.
const NO_FIELD: &str = "failed to create typed patch object";

impl Cluster {
    /// 200, where all of them would be taken; 422 with a sentence about the first that would not.
    pub(super) async fn rehearse(&self, objects: &[Manifest]) -> Result<Reply, String> {
        for object in objects {
            let answer = self.would_take(object).await;
            if let Some(problem) = refusal(object, answer)? {
                return Ok(Reply {
                    status: 422,
                    body: problem.into_bytes(),
                });
            }
        }
        Ok(Reply {
            status: 200,
            body: Vec::new(),
        })
    }
}

/// Why an object would be refused, if it would.
///
/// # Errors
/// The server has not said.
fn refusal(
    object: &Manifest,
    answer: Result<(), Box<kube::Error>>,
) -> Result<Option<String>, String> {
    let error = match answer {
        Ok(()) => return Ok(None),
        Err(error) => error,
    };
    let kube::Error::Api(status) = error.as_ref() else {
        return Err(chain(error.as_ref()));
    };
    let message = status.message.as_str();
    if message.contains(NOT_ASKED) {
        return Ok(None);
    }
    let is_final = matches!(status.code, 400 | 403 | 404 | 413 | 422) || message.contains(NO_FIELD);
    if !is_final {
        return Err(message.to_owned());
    }
    // Its kind and its name are said anyway.
    let rest = message.split_once(" is invalid: ");
    let why = rest.map_or(message, |(_, why)| why);
    let (kind, name) = (object.kind.kind(), &object.key.name);
    Ok(Some(format!("{kind} {name}: {why}")))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;
    use crate::model::key::Key;
    use crate::model::object::ObjectKind;

    fn said(code: u16, message: &str) -> Result<Option<String>, String> {
        let key = Key::new("shop-review-pr-7", "web");
        let object = Manifest::new(ObjectKind::Service, key, &[], None, json!({}));
        let status = json!({"status": "Failure", "reason": "", "code": code, "message": message});
        let status: Status = serde_json::from_value(status).unwrap();
        let error = kube::Error::Api(Box::new(status));
        refusal(&object, Err(Box::new(error)))
    }

    #[test]
    fn a_refusal_names_the_object_and_its_field_once() {
        let invalid = "Service \"web\" is invalid: spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive";
        let told = said(422, invalid).unwrap().unwrap();
        assert_eq!(
            told,
            "Service web: spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive"
        );
        let unknown = "failed to create typed patch object (shop/web; /v1, Kind=Service): .spec.port: field not declared in schema";
        let told = said(500, unknown).unwrap().unwrap();
        assert!(told.contains(".spec.port: field not declared"), "{told}");
        let denied = said(403, "admission webhook \"a\" denied the request: no").unwrap();
        assert!(denied.is_some());
    }

    #[test]
    fn what_is_not_known_is_no_refusal() {
        assert!(said(503, "etcd is away").is_err());
        assert!(said(429, "too many requests").is_err());
        let webhook = "admission webhook \"a\" does not support dry run";
        assert_eq!(said(400, webhook), Ok(None), "it is asked in earnest");
    }
}
