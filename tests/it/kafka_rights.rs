//! Rights and a log-in that are taken away while weir runs, by a broker that checks both: predictions go on, rows wait, the status says who refuses
//! what, and once it is given back everything is stored with nobody's help.

use crate::kafka_tls::{predict, scram, settled};
use crate::support::kafka;
use crate::support::model::Model;
use crate::support::python;
use crate::support::secure::{PASSWORD, Secured, USER};
use crate::support::until;
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
fn rights_that_are_taken_away_are_named_and_waited_out() {
    let secured = Secured::strict();
    let (weir, _model, topic) = deployed(&secured, USER);
    let all = ["topic:describe", "topic:describe_configs", "topic:write", "topic:read", "group:read"];
    let may = |rights: &[&str]| {
        let rights: Vec<String> = rights.iter().map(|right| right.replace(':', &format!(":{topic}:"))).collect();
        let mut arguments = vec!["acl.py", secured.broker.address(), USER];
        arguments.extend(rights.iter().map(String::as_str));
        python::run(&arguments);
    };
    // At the start it may not even see its topic.
    may(&["group:read"]);
    let weir = weir.start();
    predict(&weir);
    weir.names(&format!("the brokers do not let weir see topic `{topic}`: allow its user Describe and Read there"));
    assert!(!weir.trouble().contains("does not exist"), "nobody said that: {}", weir.trouble());
    may(&all);
    settled(&weir, 5);
    let mut calls = 5;
    for (left, said) in [
        (
            &["topic:describe", "topic:describe_configs", "topic:read", "group:read"][..],
            "do not let weir write to topic",
        ),
        (
            &["topic:describe", "topic:describe_configs", "topic:write", "group:read"],
            "\"kafka consumer: the brokers do not let weir read topic",
        ),
        (&["group:read"], "\"kafka consumer: the brokers do not let weir see topic"),
        (&["topic:describe", "topic:describe_configs", "topic:write", "topic:read"], "Group authorization failed"),
    ] {
        may(left);
        predict(&weir);
        calls += 5;
        weir.names(said);
        may(&all);
        settled(&weir, calls);
    }
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
    // Of the publisher: the drain may be refused earlier, while rows are still taken.
    weir.names(&format!("\"kafka: broker {} refuses the log-in of user `root`", secured.address));
    weir.names(&format!("\"kafka consumer: broker {} refuses the log-in of user `root`", secured.address));
    // A connection that has not been asked yet still takes rows.
    let mut calls = 10;
    until("rows wait", || {
        let status = weir.status();
        if number(&status, "/calls/pending") > 0 {
            return false;
        }
        if number(&status, "/rows/backlog") == 0 {
            predict(&weir);
            calls += 5;
            return false;
        }
        true
    });
    python::run(&["scram.py", broker, "root", PASSWORD]);
    settled(&weir, calls);
}
