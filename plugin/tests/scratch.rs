#![allow(clippy::all, warnings)]
use plugin_api::value::*;
use surreal_storage::*;
use std::time::{Duration, Instant};
#[test]
fn scratch() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().thread_stack_size(10<<20).build().unwrap();
    let h = rt.handle().clone();
    rt.block_on(h.spawn(async move {
        let t = Target{url:"mem://".into(),credentials:None,namespace:"a".into(),database:"b".into()};
        let c = Connection::open(&t,&Timeouts::default()).await.unwrap();
        let to = Duration::from_secs(60);
        let q = async |sql:&str, p:Object| { let s=Instant::now(); let r=c.query(sql,p,to).await; let e=s.elapsed();
            let text = format!("{r:?}"); println!("{sql}\n   {e:?} -> {}", &text.chars().take(700).collect::<String>()); r };
        let _ = q("DEFINE TABLE kv SCHEMALESS; DEFINE INDEX u ON kv FIELDS user_id, key UNIQUE; DEFINE TABLE sym SCHEMALESS; DEFINE INDEX s ON sym FIELDS project_id, name_path UNIQUE;", Object::new()).await;

        let _ = q("FOR $i IN 0..5000 { CREATE kv SET user_id = 'u' + <string>($i % 10), key = 'k' + <string>$i; }; DEFINE TABLE knows SCHEMALESS; DEFINE INDEX f ON knows FIELDS from_entity; FOR $i IN 0..5000 { CREATE knows SET from_entity = 'entities:' + <string>($i % 1000), to_entity='entities:' + <string>(($i*7) % 1000) }; DEFINE TABLE kb SCHEMALESS; DEFINE INDEX p ON kb FIELDS file_path UNIQUE; DEFINE INDEX sf ON kb FIELDS source_file; FOR $i IN 0..5000 { CREATE kb SET file_path = 'p' + <string>($i / 5) + '#chunk' + <string>($i%5), source_file='p' + <string>($i / 5) }", Object::new()).await;
        let f: Vec<Value> = (0..20).map(|i| Value::from(format!("entities:{i}"))).collect();
        let keys: Vec<Value> = (0..100).map(|i| Value::from(vec![Value::from("u1"), Value::from(format!("k{}", i*10+1))])).collect();
        let docs: Vec<Value> = (0..100).map(|i| Value::from(vec![Value::from(format!("p{}", i))])).collect();
        for sql in [
          "RETURN $k.map(|$x| array::len((SELECT VALUE key FROM kv WHERE user_id = $x[0] AND key = $x[1] LIMIT 1)) > 0)",
          "RETURN $k.map(|$x| !array::is_empty((SELECT VALUE key FROM kv WHERE user_id = $x[0] AND key = $x[1] LIMIT 1)))",
          "RETURN $d.map(|$x| !array::is_empty((SELECT VALUE id FROM kb WHERE file_path = $x[0] OR source_file = $x[0] LIMIT 1)))",
          "RETURN $d.map(|$x| !array::is_empty((SELECT VALUE id FROM kb WHERE file_path = $x[0] LIMIT 1)) OR !array::is_empty((SELECT VALUE id FROM kb WHERE source_file = $x[0] LIMIT 1)))",
          "SELECT VALUE id FROM kb WHERE file_path = 'p3' OR source_file = 'p3'",
          "RETURN object::keys((INFO FOR DB).tables)",
          "RETURN (INFO FOR DB).tables.keys().filter(|$t| $t NOT IN $known AND (SELECT VALUE from_entity FROM type::table($t) LIMIT 1)[0] != NONE)",
          "SELECT * FROM knows WHERE from_entity IN $f",
          "SELECT * FROM type::table('knows') WHERE from_entity IN $f",
          "RETURN ['knows'].map(|$t| (SELECT * FROM type::table($t) WHERE from_entity IN $f)).flatten()",
          "RETURN (INFO FOR DB).tables.keys().filter(|$t| $t NOT IN $known AND (SELECT VALUE from_entity FROM type::table($t) LIMIT 1)[0] != NONE).map(|$t| (SELECT * FROM type::table($t) WHERE from_entity IN $f)).flatten()",
          ] { let _ = q(sql, Object::new().with("k", keys.clone()).with("d", docs.clone()).with("f", f.clone()).with("known", vec![Value::from("kv")])).await; }
    })).unwrap();
}
