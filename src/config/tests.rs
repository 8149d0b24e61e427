use super::*;
#[test]
fn smallest() {
    let c = Config::from_yaml("weir.yaml", "version: 1\nroutes:\n  churn:\n    upstream: http://127.0.0.1:8000\n", &|_| None).unwrap();
    let y = c.to_yaml_effective();
    println!("{y}");
    let d = Config::from_yaml("e.yaml", &y, &|_| None).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(c, d);
    println!("{}", serde_json::to_string_pretty(&json_schema()).unwrap().len());
    for t in ["version: 1\nroutes:\n  churn:\n    upsteam: http://127.0.0.1:8000\n", "version: 1\nlisten: { limits: { body: 30 } }\n", "version: 1\nlisten: 3\n", "version: 1\nlisten: { limits: { headers: [3] } }\n", "version: 1\nlisten: { limits: { headers: -3 } }\n", "version: 1\nkafka:\n  brokers: a\n", "version: 1\nadmin: { token: hunter2 }\n","version: 1\nroutes: { a: { protocol: v2, upstream: http://a } }\n", "version: 1\nkafka:\n  brokers: [a:1]\n  producer: { lingr.ms: 5 }\nroutes: { a: { upstream: http://a } }\n", "version: 1\nkafka:\n  brokers: [a:1]\n  producer: { linger.ms: x }\nroutes: { a: { upstream: http://a } }\n", "version: 1\nrecorders: many\n", "a: 1\na: 2\n", "a:\n\tb: 1\n", "a: [1, 2\n", "a: \"x\n", "a: b: c\n", "", "- a", "version: 1\nroutes:\n  a:\n"] {
        println!("{}\n", Config::from_yaml("weir.yaml", t, &|_| None).unwrap_err());
    }
}
