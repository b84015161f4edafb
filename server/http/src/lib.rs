//! MiniTower: http.
