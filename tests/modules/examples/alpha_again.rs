//! A second library that says it is `alpha`.
test_modules::export_pass_through!("test_alpha");
