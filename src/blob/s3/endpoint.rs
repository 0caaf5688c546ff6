//! What the text of an endpoint says: scheme, host, who runs it, where.

use super::S3Options;

const AMAZON: [&str; 2] = [".amazonaws.com", ".amazonaws.com.cn"];
const R2: &str = ".r2.cloudflarestorage.com";
/// What stores take that do not care.
const ANY_REGION: &str = "us-east-1";

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Host, or host and port.
    pub(super) authority: String,
    /// Plain HTTP.
    pub(super) is_plain: bool,
}

impl Endpoint {
    /// The endpoint of `options`; a scheme in it decides about TLS.
    pub(super) fn of(options: &S3Options) -> Self {
        let text = options.endpoint.trim();
        let (is_plain, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (options.do_not_use_tls, rest),
            _ => (options.do_not_use_tls, text),
        };
        Self { authority: rest.trim_end_matches('/').to_owned(), is_plain }
    }

    /// With its scheme.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", if self.is_plain { "http" } else { "https" }, self.authority)
    }

    fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.authority,
        }
    }

    /// Whether this is Cloudflare's R2.
    pub(super) fn is_r2(&self) -> bool {
        self.host().ends_with(R2)
    }

    fn is_amazon(&self) -> bool {
        AMAZON.iter().any(|suffix| self.host().ends_with(suffix))
    }

    /// Whether the bucket goes into the path: everywhere but at Amazon, and there for names whose dots no certificate
    /// covers.
    pub(super) fn wants_path_style(&self, options: &S3Options) -> bool {
        let in_host = options.virtual_host_style || self.is_amazon();
        !in_host || (options.bucket.contains('.') && !self.is_plain)
    }

    /// The region that goes into signatures, unless the server says another.
    pub(super) fn region(&self, options: &S3Options) -> String {
        if !options.region.is_empty() {
            return options.region.clone();
        }
        if self.is_r2() {
            return "auto".to_owned();
        }
        // s3.<region>.amazonaws.com, s3.dualstack.<region>.amazonaws.com, s3.<region>.backblazeb2.com and the like
        let mut labels = self.host().split('.');
        let first = labels.next();
        let region = labels.find(|label| *label != "dualstack");
        match (first, region) {
            (Some("s3"), Some(region)) if region.contains('-') => region.to_owned(),
            _ => ANY_REGION.to_owned(),
        }
    }
}

/// The endpoint of an account of R2.
pub fn r2_endpoint(account_id: &str) -> String {
    format!("{account_id}{R2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoint: &str, bucket: &str) -> (Endpoint, S3Options) {
        let options = S3Options::new(endpoint, bucket);
        (Endpoint::of(&options), options)
    }

    #[test]
    fn schemes_decide_about_tls() {
        assert_eq!(of("minio:9000", "b").0.url(), "https://minio:9000");
        assert_eq!(of("http://minio:9000/", "b").0.url(), "http://minio:9000");
        assert_eq!(of("https://minio", "b").0.url(), "https://minio");
        let plain = S3Options { do_not_use_tls: true, ..S3Options::new("minio", "b") };
        assert_eq!(Endpoint::of(&plain).url(), "http://minio");
    }

    #[test]
    fn hosts_tell_region_and_style() {
        for (host, region, path_style, is_r2) in [
            ("s3.amazonaws.com", "us-east-1", false, false),
            ("s3.eu-west-1.amazonaws.com", "eu-west-1", false, false),
            ("s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1", false, false),
            ("s3.us-west-004.backblazeb2.com", "us-west-004", true, false),
            ("0123abc.r2.cloudflarestorage.com", "auto", true, true),
            ("0123abc.eu.r2.cloudflarestorage.com:443", "auto", true, true),
            ("10.0.0.1:9000", "us-east-1", true, false),
        ] {
            let (endpoint, options) = of(host, "bucket");
            assert_eq!(endpoint.region(&options), region, "{host}");
            assert_eq!(endpoint.wants_path_style(&options), path_style, "{host}");
            assert_eq!(endpoint.is_r2(), is_r2, "{host}");
        }
        let (endpoint, options) = of("s3.amazonaws.com", "a.b");
        assert!(endpoint.wants_path_style(&options));
        let forced = S3Options { virtual_host_style: true, region: "x".into(), ..S3Options::new("h", "b") };
        assert!(!Endpoint::of(&forced).wants_path_style(&forced));
        assert_eq!(Endpoint::of(&forced).region(&forced), "x");
        assert_eq!(r2_endpoint("a1"), "a1.r2.cloudflarestorage.com");
    }
}
