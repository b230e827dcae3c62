//! Everything constant for a route, a method and a status, prepared once per worker and then only looked up.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::dev::ServiceRequest;
use gatewayz_logging::{PreparedEventLine, PreparedRequestLine};
use gatewayz_metrics::{Counter, Gauge, Histogram};
use gatewayz_tracing::PreparedServerSpan;

use super::in_flight::{InFlight, Recorder};
use super::matcher::{Matcher, Shape};
use super::{families, method};
use crate::outcome::ExceptionKind;

/// Path label of requests that no route matched.
const UNMATCHED: &str = "unmatched";

/// The routes one worker has seen. Templates come from the router, so their number is bounded by the code.
pub(crate) struct Routes {
    seen: RefCell<Matcher<Rc<Route>>>,
    unmatched: Rc<Route>,
}

pub(crate) struct Route {
    /// `None` when no route matched.
    pub(crate) template: Option<Arc<str>>,
    /// Whether GET and HEAD leave no signal.
    pub(crate) silent: bool,
    methods: [OnceCell<Rc<MethodHandles>>; method::LABELS.len()],
}

/// What a request needs from its start.
pub(crate) struct MethodHandles {
    pub(crate) method: &'static str,
    pub(crate) path_label: Arc<str>,
    pub(crate) template: Option<Arc<str>>,
    /// For the lines of events inside of the request.
    pub(crate) events: PreparedEventLine,
    pub(crate) shape: Shape,
    pub(crate) in_progress: Option<Gauge>,
    pub(crate) request_size: Option<Histogram>,
    pub(crate) response_size: Option<Histogram>,
    /// By kind; they start at 0 with the route's first request.
    pub(crate) exceptions: [Option<Counter>; ExceptionKind::ALL.len()],
    by_status: RefCell<Vec<(u16, Rc<Prepared>)>>,
}

/// What its end needs.
pub(crate) struct Prepared {
    pub(crate) requests: Option<Counter>,
    pub(crate) duration: Option<Histogram>,
    pub(crate) line: PreparedRequestLine,
    pub(crate) span: PreparedServerSpan,
}

impl Routes {
    pub(crate) fn new() -> Self {
        let unmatched = Route {
            template: None,
            silent: false,
            methods: Default::default(),
        };
        Self {
            seen: RefCell::default(),
            unmatched: Rc::new(unmatched),
        }
    }

    /// The route a request will most likely take.
    ///
    /// Asking the router before it has routed makes it try every pattern, so the templates of earlier answers are
    /// tried first, literals before parameters. Where templates overlap and the router's order is another, it is the
    /// wrong one: the outcome has the route that did answer, gauges and events in between have the expected one.
    pub(crate) fn expect(&self, request: &ServiceRequest, recorder: &Recorder) -> Rc<Route> {
        if let Some(route) = self.seen.borrow().find(request.path()) {
            return Rc::clone(route);
        }
        match request.match_pattern() {
            Some(template) => self.route(&template, recorder),
            None => Rc::clone(&self.unmatched),
        }
    }

    /// The handles of the route that did answer; `None` when it is the expected one.
    pub(crate) fn learn(&self, request: &HttpRequest, in_flight: &InFlight) -> Option<Rc<MethodHandles>> {
        if in_flight.expects(request.path(), request.match_info()) {
            return None;
        }
        let recorder = &in_flight.worker().recorder;
        let expected = in_flight.template();
        let template = request.match_pattern();
        if template.as_deref() == expected {
            return None;
        }
        let route = match &template {
            Some(template) => self.route(template, recorder),
            None => Rc::clone(&self.unmatched),
        };
        route.method(method::index(request.method()), recorder)
    }

    fn route(&self, template: &str, recorder: &Recorder) -> Rc<Route> {
        if let Some(route) = self.seen.borrow().get(template) {
            return Rc::clone(route);
        }
        let route = Rc::new(Route {
            silent: recorder.silent_routes.contains(&template),
            template: Some(template.into()),
            methods: Default::default(),
        });
        self.seen.borrow_mut().insert(template, Rc::clone(&route));
        route
    }
}

impl Route {
    pub(crate) fn method(&self, index: usize, recorder: &Recorder) -> Option<Rc<MethodHandles>> {
        let handles = self.methods.get(index)?.get_or_init(|| {
            let method = method::LABELS.get(index).copied().unwrap_or("_OTHER");
            Rc::new(MethodHandles::new(method, self.template.clone(), recorder))
        });
        Some(Rc::clone(handles))
    }
}

impl MethodHandles {
    fn new(method: &'static str, template: Option<Arc<str>>, recorder: &Recorder) -> Self {
        let path_label = template.clone().unwrap_or_else(|| UNMATCHED.into());
        let labels = [recorder.app_name.as_str(), method, &path_label];
        // The families are in the catalog and the labels fit them, so an error is no case to handle per request:
        // the series would be missing, and the page says so in telemetry_label_overflow_total.
        let exceptions = ExceptionKind::ALL.map(|kind| {
            let labels = [recorder.app_name.as_str(), method, &path_label, kind.as_str()];
            recorder.registry.counter(&families::EXCEPTIONS, &labels).ok()
        });
        Self {
            exceptions,
            in_progress: recorder.registry.gauge(&families::IN_PROGRESS, &labels).ok(),
            request_size: recorder.registry.histogram(&families::REQUEST_SIZE, &labels).ok(),
            response_size: recorder
                .registry
                .histogram(&families::RESPONSE_SIZE, &labels)
                .ok(),
            method,
            path_label,
            events: recorder.log.encoder().prepare_event(method, template.as_deref()),
            shape: template.as_deref().map(Shape::of).unwrap_or_default(),
            template,
            by_status: RefCell::default(),
        }
    }

    pub(crate) fn prepared(&self, status_code: u16, recorder: &Recorder) -> Rc<Prepared> {
        let known = self
            .by_status
            .borrow()
            .iter()
            .find(|(code, _)| *code == status_code)
            .map(|(_, known)| Rc::clone(known));
        known.unwrap_or_else(|| {
            let prepared = Rc::new(self.prepare(status_code, recorder));
            self.by_status
                .borrow_mut()
                .push((status_code, Rc::clone(&prepared)));
            prepared
        })
    }

    fn prepare(&self, status_code: u16, recorder: &Recorder) -> Prepared {
        let status = status_code.to_string();
        let labels = [recorder.app_name.as_str(), self.method, &self.path_label, &status];
        let route = self.template.as_deref();
        Prepared {
            requests: recorder.registry.counter(&families::REQUESTS, &labels).ok(),
            duration: recorder.registry.histogram(&families::DURATION, &labels).ok(),
            line: recorder
                .log
                .encoder()
                .prepare_request(self.method, status_code, route),
            span: PreparedServerSpan::new(self.method, route, status_code),
        }
    }
}
