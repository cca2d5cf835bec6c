//! Any text as a scenario, in TOML and JSON, up to a resolved plan. It must not panic, and every refusal has a reason
//! and a position in the file.
#![no_main]

use hubstorm::plan;
use hubstorm::scenario::{Input, no_files};
use rand_pcg::Pcg32;
use rand_pcg::rand_core::SeedableRng;

libfuzzer_sys::fuzz_target!(|text: &str| {
    // Both parsers get each text, because only the file name decides between them.
    for file in ["scenario.toml", "scenario.json"] {
        let env =
            |name: &str| (name != "UNSET").then(|| "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned());
        let input = Input { file, text, overrides: &[], env: &env, files: &no_files };
        if let Err(errors) = plan::load(&input, &mut Pcg32::seed_from_u64(1)) {
            assert!(!errors.problems().is_empty(), "a refusal has a reason");
            assert!(errors.to_string().contains(file), "a refusal names the file");
        }
    }
});
