//! A good module.
test_modules::export_pass_through!("test_alpha");
