//! Demand: how many runs wait and how many are held, for whoever scales runners by it.

use serde::{Deserialize, Serialize};

/// Answer of `GET /admin/demand`: one page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "environments": [{"team": "lighthouse", "environment": "default", "pending": 3, "active": 1}]
})))]
pub struct Demand {
    /// The environments in which runs wait or are held, by team and then by name. An environment that is not listed has none of either.
    pub environments: Vec<EnvironmentDemand>,
    /// There is another page: ask for it with `?after=` and this value. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The runs of one environment of one team, over all apps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct EnvironmentDemand {
    /// The team's slug.
    pub team: String,
    /// The environment's name.
    pub environment: String,
    /// Runs that are queued and ready: a free runner would get them at once. Runs that wait for their backoff, or because their
    /// team has as many active runs as its limits allow, do not count.
    pub pending: u64,
    /// Runs that a runner holds.
    pub active: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_as_the_contract_says() {
        let text = r#"{"environments":[{"team":"acme","environment":"default","pending":3,"active":1}]}"#;
        let last: Demand = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&last).unwrap(), text);
        let more = Demand { cursor: Some("acme/default".to_owned()), ..last };
        assert!(serde_json::to_string(&more).unwrap().ends_with(r#"],"cursor":"acme/default"}"#));
    }
}
