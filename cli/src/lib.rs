//! MiniTower: minitower-cli.
