use std::collections::HashMap;

/// Of what the standard library has alone, so that nothing has to be fetched.
pub fn main(_: HashMap<String, String>) -> Result<HashMap<&'static str, [&'static str; 2]>, String> {
    Ok(HashMap::from([("from", [include_str!("deep/nested.txt"), beside::TEXT])]))
}
