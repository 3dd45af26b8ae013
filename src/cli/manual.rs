//! `floe man` and `floe completions`: made from the same description of the
//! command line that reads it.

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::{Failure, say};

/// The page of the program, then one of each command.
pub(super) fn man<C: CommandFactory>() -> Result<(), Failure> {
    let mut page = Vec::new();
    let mut command = C::command();
    command.build();
    let unwritten = |error| Failure::Failed(format!("cannot write the page: {error}"));
    Man::new(command.clone()).render(&mut page).map_err(unwritten)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        page.extend_from_slice(format!(".SH \"{}\"\n", sub.get_name().to_uppercase()).as_bytes());
        let man = Man::new(sub.clone());
        man.render_synopsis_section(&mut page).map_err(unwritten)?;
        man.render_description_section(&mut page).map_err(unwritten)?;
        man.render_options_section(&mut page).map_err(unwritten)?;
    }
    say(&String::from_utf8_lossy(&page));
    Ok(())
}

pub(super) fn completions<C: CommandFactory>(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(shell, &mut C::command(), "floe", &mut script);
    say(&String::from_utf8_lossy(&script));
    Ok(())
}
