//! MiniTower: app.
