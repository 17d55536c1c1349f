//! What was fetched of an image that is far away.

use crate::Error;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much was fetched of an image on a server, and whether all that was asked for came.
#[derive(Debug, Default)]
pub struct Fetched {
    requests: AtomicU64,
    bytes: AtomicU64,
    failure: OnceLock<String>,
}

impl Fetched {
    /// Requests that were answered.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes that came.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Why something did not come. From then on nothing is fetched, and what was read of the image after it is not to be relied on.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    #[cfg(feature = "remote-images")]
    pub(super) fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    #[cfg(feature = "remote-images")]
    pub(super) fn received(&self, bytes: usize) {
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    #[cfg(feature = "remote-images")]
    pub(super) fn failed(&self, why: String) {
        let _ = self.failure.set(why);
    }
}

/// Whether a path is the address of something far away.
pub(super) fn is_address(path: &str) -> bool {
    let begins = |scheme: &str| path.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    begins("https://") || begins("http://")
}

/// Schemes of object stores, with what signs an address that everybody can ask for.
const STORES: [(&str, &str); 5] = [
    ("s3://", "aws s3 presign"),
    ("gs://", "gcloud storage sign-url --duration=1h"),
    ("az://", "az storage blob generate-sas --full-uri"),
    ("abfs://", "az storage blob generate-sas --full-uri"),
    ("wasbs://", "az storage blob generate-sas --full-uri"),
];

/// What to say of the address of an object in a store, whose own protocol nobody here speaks. `None`: it is none.
pub(super) fn of_a_store(path: &str) -> Option<Error> {
    let begins = |scheme: &str| path.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let (scheme, command) = STORES.into_iter().find(|(scheme, _)| begins(scheme))?;
    let object = if command.starts_with("az") {
        "--container-name CONTAINER --name OBJECT".to_owned()
    } else {
        format!("'{path}'")
    };
    Some(Error::NotAnImage {
        what: format!("{path} is the address of an object in a store ({scheme}), whose keys are not asked for here"),
        advice: format!("Sign an https:// address of it, and name that one: {command} {object}"),
    })
}

/// An address without what signs it or logs in: no user, password, query or fragment. Anything else stays as it is.
#[must_use]
pub fn without_secrets(path: &str) -> String {
    let Some((scheme, rest)) = path.split_once("://").filter(|_| is_address(path)) else { return path.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, file) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).unwrap_or((rest, ""));
    let host = host.rsplit('@').next().unwrap_or(host);
    format!("{scheme}://{host}{file}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_a_store() {
        let said = of_a_store("S3://bucket/case 1/mem.raw").unwrap().to_string();
        assert!(said.contains("aws s3 presign 'S3://bucket/case 1/mem.raw'"), "{said}");
        assert!(
            of_a_store("gs://b/o").unwrap().to_string().contains("gcloud storage sign-url --duration=1h 'gs://b/o'")
        );
        for path in ["s3:", "s3/mem.raw", "https://s3.example/mem.raw", "C:\\s3"] {
            assert!(of_a_store(path).is_none(), "{path}");
        }
    }

    #[test]
    fn signatures_and_passwords_are_not_shown() {
        let signed = "https://user:word@bucket.example/case%201/mem.raw?X-Amz-Signature=abc&x=y#z";
        assert_eq!(without_secrets(signed), "https://bucket.example/case%201/mem.raw");
        assert_eq!(without_secrets("https://h?a@b"), "https://h");
        assert_eq!(without_secrets("C:\\images\\a?.raw"), "C:\\images\\a?.raw");
    }
}
