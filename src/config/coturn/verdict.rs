//! What is said of keys that become no key of ours: a table, so that each of
//! coturn's names is found in one place.

/// Why a key is not written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// It is so in any case.
    AsIs(&'static str),
    /// It has no counterpart.
    LeftOut(&'static str),
}

use Verdict::{AsIs, LeftOut};

/// The verdict on a key that `translate` does not use; `None` where coturn has no
/// such key either.
pub(super) fn verdict(key: &str) -> Option<Verdict> {
    Some(match key {
        "lt-cred-mech" | "st-cred-mech" => AsIs("every client logs in with long-term credentials"),
        "use-auth-secret" => AsIs("on as soon as there is a secret"),
        "fingerprint" => AsIs("answers carry FINGERPRINT where the request did"),
        "no-multicast-peers" => AsIs("multicast peers are always refused"),
        "no-loopback-peers" => AsIs("loopback peers are refused unless allowed"),
        "no-tlsv1" | "no-tlsv1_1" | "no-sslv2" | "no-sslv3" => AsIs("TLS 1.2 and 1.3 only"),
        "no-tcp-relay" => AsIs("TCP relays are off unless relay.tcp is set"),
        "no-cli" | "cli" => AsIs("there is no telnet; the admin address serves floe's own commands"),
        "no-software-attribute" => AsIs("no SOFTWARE before a client has logged in over UDP"),
        "software-attribute" => LeftOut("SOFTWARE is not sent over UDP before a client has logged in"),
        "no-rfc5780" => AsIs("NAT discovery is off unless stun.nat-discovery is set"),
        "response-origin-only-with-rfc5780" | "no-stun-backward-compatibility" => {
            AsIs("a Binding answer is short")
        }
        "stun-backward-compatibility" => {
            LeftOut("MAPPED-ADDRESS is only sent to clients of RFC 3489: stun.classic")
        }
        "no-stdout-log"
        | "new-log-timestamp"
        | "new-log-timestamp-format"
        | "simple-log"
        | "log-min-level"
        | "log-binding" => LeftOut("the log goes to stderr, with ISO times; see [log]"),
        "drop-invalid-packets" | "stateless-nonce" => AsIs("always"),
        "verbose" => AsIs("each allocation is logged when it opens and closes"),
        "prod"
        | "ne"
        | "secret-ts-exp-time"
        | "dh2066"
        | "dh566"
        | "dh1066"
        | "keep-address-family"
        | "include-reason-string"
        | "drop-invalid-packets-log"
        | "max-allocate-timeout"
        | "no-auth-pings"
        | "no-dynamic-ip-list"
        | "no-dynamic-realms"
        | "udp-self-balance" => LeftOut("nothing here depends on it"),
        "no-auth" => LeftOut("floe is never an open relay: give it secrets or users"),
        "server-relay" => LeftOut("relaying without permissions is not offered"),
        "stale-nonce" | "stateless-nonce-secret" => {
            LeftOut("a nonce lives one hour; auth.nonce-secret shares its key among servers")
        }
        "oauth" | "server-name" => {
            LeftOut("coturn keeps OAuth keys in its database; floe takes them in auth.oauth-keys")
        }
        "secure-stun" | "stun-only" | "no-stun" => {
            LeftOut("Binding is answered to all, and TURN is always there")
        }
        "no-udp-relay" => LeftOut("UDP relays can't be turned off"),
        "check-origin-consistency" => LeftOut("ORIGIN is not looked at"),
        "rest-api-separator" => LeftOut("a time-limited user name is split at its first colon"),
        "pkey-pwd" => LeftOut("the key file must not be encrypted: openssl pkey -in KEY -out NEW"),
        "CA-file" => LeftOut("client certificates are not asked for"),
        "cipher-list" | "dh-file" | "ec-curve-name" | "raw-public-keys" => {
            LeftOut("TLS suites and curves are those that rustls offers")
        }
        "tlsv1" | "tlsv1_1" => LeftOut("TLS 1.0 and 1.1 are not served (RFC 8996)"),
        "no-tlsv1_2" => LeftOut("TLS 1.2 is served beside 1.3"),
        "userdb" | "db" | "psql-userdb" | "sql-userdb" | "mysql-userdb" | "mongo-userdb" | "redis-userdb"
        | "secret-key-file" => LeftOut("users are read from the configuration: [auth]"),
        "redis-statsdb" => LeftOut("watch /metrics and the log instead"),
        "cli-ip" | "cli-port" | "cli-password" | "cli-max-output-sessions" => {
            LeftOut("there is no telnet; floe's own commands use the admin address")
        }
        "web-admin" | "web-admin-ip" | "web-admin-port" | "web-admin-listen-on-workers" => {
            LeftOut("the web page is served at admin.listen")
        }
        "prometheus"
        | "prometheus-port"
        | "prometheus-path"
        | "prometheus-username-labels"
        | "prometheus-tls"
        | "prometheus-cert"
        | "prometheus-key" => LeftOut("metrics are at /metrics of admin.listen"),
        "proc-user" | "proc-group" | "pidfile" | "daemon" => {
            LeftOut("the service manager does this, for instance systemd's User=")
        }
        "syslog" | "syslog-facility" => LeftOut("the log goes to stderr, which systemd's journal keeps"),
        "acme-redirect" | "respond-http-unsupported" => LeftOut("no HTTP is answered on TURN ports"),
        "listening-device" | "relay-device" => LeftOut("name addresses: listen.udp, relay.addresses"),
        "dtls" => LeftOut("DTLS is served where listen.dtls says"),
        "drain-min-allocations" => LeftOut("draining ends with the last allocation, or after drain-timeout"),
        "alt-tls-listening-port" => LeftOut("NAT discovery is over UDP alone"),
        _ => return None,
    })
}
