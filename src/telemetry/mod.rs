//! Every metric, declared once; its doc comment is its HELP text.

/// All instruments of one process, and the Prometheus text they become.
#[derive(Clone)]
pub struct Meters;

/// The instruments of one route, bound once at start.
#[derive(Clone)]
pub struct RouteMeters;

impl Meters {
    pub fn new() -> Meters {
        unimplemented!()
    }

    /// Binds the instruments of a route.
    pub fn route(&self, _name: &str) -> RouteMeters {
        unimplemented!()
    }

    /// A request refused before it reached a route: `bad_request`, `header_too_large`, `no_route`, `upgrade`.
    pub fn refused(&self, _why: &'static str) {
        unimplemented!()
    }

    /// A client connection opened (`+1`) or closed (`-1`).
    pub fn connections(&self, _change: i64) {
        unimplemented!()
    }

    /// The text of `/metrics` (Prometheus exposition format 0.0.4).
    pub fn render(&self) -> String {
        unimplemented!()
    }
}

impl Default for Meters {
    fn default() -> Self {
        Self::new()
    }
}

impl RouteMeters {
    /// A request on this route ended: the status sent (0: none), seconds from its head to its end, and whether it predicts.
    pub fn finished(&self, _status: u16, _seconds: f64, _predicts: bool) {
        unimplemented!()
    }

    /// A body was not kept for want of a memory permit.
    pub fn not_kept(&self) {
        unimplemented!()
    }
}
