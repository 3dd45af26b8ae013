//! Who may allocate: static users, shared secrets for time-limited credentials,
//! and authorization servers with their access tokens (RFC 7635), held as keys in
//! a [`Directory`], which is the [`Users`](crate::relay::world::Users) of the
//! engine. Also what goes with them: minting credentials and tokens, the keys of
//! nonces, and judging whether a secret is worth the name.
//!
//! It verifies no message (`relay` does, with the keys it is given), compares no
//! expiry with a clock, and knows no configuration file. Built and handed to the
//! engines by `server`, which also mints with it for `admin`; `cli` mints for the
//! pair; `config` asks it about weak secrets and unusable strings.

mod access_token;
mod directory;
mod nonce;
mod opaque;
mod revocations;
mod strength;
mod third_party;
mod time_limited;

pub use access_token::{AccessToken, Algorithm, TokenKey};
pub use directory::{Directory, DirectoryError, DirectorySettings, MAX_SECRETS, User};
pub use nonce::nonce_keys;
pub use opaque::{NotOpaque, opaque_string};
pub use revocations::{Revocations, RevokeError, Unrevoked};
pub use strength::{is_placeholder, is_sample, weak_password, weak_secret, weak_token_key};
pub use third_party::{
    MAX_OAUTH_KEYS, MintedToken, OauthKey, OauthKeyError, OauthKeySettings, SERVER_NAME_BYTES,
    ThirdPartySettings,
};
pub use time_limited::{LAST_EXPIRY, MintError, Secret, TimeLimited, mint};
