//! The result file: everything else is rendered from it. Assembled by `app`, read by `report`.
//! It imports `measure` and `units` only: it knows nothing of MQTT, plans or workers.

pub mod model;
