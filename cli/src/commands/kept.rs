//! A token that was just made: it is saved, or revoked where that fails, so that none is left that nobody has.

use std::path::Path;

use minitower_client::TeamClient;

use crate::failure::Failure;
use crate::profiles::Profiles;

/// Saves profiles with a new token. Where that fails all the same, nobody has the token, and nobody shall.
pub(super) async fn save_new(profiles: &Profiles, path: &Path, made: &TeamClient) -> Result<(), Failure> {
    let saved = profiles.save(path);
    if saved.is_err() {
        // The first failure is the one to report.
        let _ = revoke_own(made).await;
    }
    Ok(saved?)
}

/// Revokes the token that the client shows; a dead one needs nothing.
pub(in crate::commands) async fn revoke_own(team: &TeamClient) -> Result<(), minitower_client::Error> {
    let revoked = async { team.delete_token(team.me().await?.token_id).await };
    match revoked.await {
        Err(error) if error.status() == Some(401) => Ok(()),
        other => other,
    }
}
