//! Rights and a log-in that are taken away while weir runs, by a broker that checks both: predictions go on, rows wait, the status says who refuses
//! what, and once it is given back everything is stored with nobody's help.

use crate::kafka_tls::{predict, scram, settled};
use crate::outage::named;
use crate::support::kafka;
use crate::support::model::Model;
use crate::support::python;
use crate::support::secure::{PASSWORD, Secured, USER};
use crate::support::weir::{Weir, number};

/// A weir with both roles, its topic and its group.
fn deployed(secured: &Secured, user: &str) -> (Weir, Model, String) {
    let (model, topic) = (Model::start(), kafka::topic(secured.broker.address(), "rights", 2));
    let yaml = format!(
        "routes: {{ m: {{ upstream: {}, model: {topic} }} }}\nkafka:\n  brokers: [{}]\n{}\n\
         drain: {{ group: {topic} }}\nstore: {{ roll: {{ every: 1s }} }}\n",
        model.url(),
        secured.address,
        scram(secured, user, "${env:WEIR_PASSWORD}")
    );
    (Weir::new(&yaml).env("WEIR_PASSWORD", PASSWORD), model, topic)
}

#[test]
fn a_right_that_is_taken_away_is_named_and_waited_out() {
    let secured = Secured::strict();
    let (weir, _model, topic) = deployed(&secured, USER);
    let all = ["topic:describe", "topic:describe_configs", "topic:write", "topic:read", "group:read"];
    let may = |rights: &[&str]| {
        let rights: Vec<String> = rights.iter().map(|right| right.replace(':', &format!(":{topic}:"))).collect();
        let mut arguments = vec!["acl.py", secured.broker.address(), USER];
        arguments.extend(rights.iter().map(String::as_str));
        python::run(&arguments);
    };
    may(&all);
    let weir = weir.start();
    predict(&weir);
    settled(&weir, 5);
    may(&["topic:describe", "topic:describe_configs", "topic:read", "group:read"]);
    predict(&weir);
    named(&weir, "Topic authorization failed");
    assert_eq!(number(&weir.status(), "/rows/backlog"), 5, "{:#}", weir.status());
    may(&all);
    settled(&weir, 10);
}

#[test]
fn a_user_that_is_taken_away_is_named_and_waited_out() {
    let secured = Secured::strict();
    let (weir, _model, _topic) = deployed(&secured, "root");
    let broker = secured.broker.address();
    python::run(&["scram.py", broker, "root", PASSWORD]);
    let weir = weir.start();
    predict(&weir);
    settled(&weir, 5);
    // Its connections are open, and asked for the password again every few seconds.
    python::run(&["scram.py", broker, "root"]);
    predict(&weir);
    named(&weir, "refuses the log-in of user `root` with SCRAM-SHA-512");
    predict(&weir);
    assert!(number(&weir.status(), "/rows/backlog") > 0, "{:#}", weir.status());
    python::run(&["scram.py", broker, "root", PASSWORD]);
    settled(&weir, 15);
}
