//! `report --history`: reads all results in a folder, and prints or writes their history. Files that are not results, or cannot be read, are
//! named with the reason, and the others are shown. Used by `report`. The history and its formats are in `crate::report`.

use super::super::result_folder::{self, Found};
use super::super::{AppError, Env, environment_error, exports, print, tell};
use crate::cli::ReportArgs;
use crate::report::{self, Export, Format, History, HistoryInput, exit, plain};
use crate::result::disk;
use crate::result::metric::{MetricError, MetricSpec};
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The formats of a history.
const FORMATS: &str = "html, csv and text";

/// The files of a folder.
struct Folder {
    inputs: Vec<HistoryInput>,
    /// Files that are not results: name and reason.
    others: Vec<(String, String)>,
    /// Results that cannot be read: name and reason.
    unreadable: Vec<(String, String)>,
}

/// Prints the history of the results in `folder`, or writes it to `files`.
///
/// # Errors
/// The folder has no result, a result in it cannot be read, a metric is wrong, or a file cannot be written.
pub(super) fn run(folder: &Path, args: &ReportArgs, files: &[Export], env: &mut Env) -> Result<u8, AppError> {
    let metrics = metrics(&args.metric)?;
    check_formats(args.format.into_iter().chain(files.iter().map(|file| file.format)))?;
    let found = read(folder)?;
    let results: Vec<PathBuf> = found.inputs.iter().map(|input| folder.join(&input.file)).collect();
    let targets: Vec<(&Path, &str)> =
        files.iter().map(|file| (file.file.as_path(), extension(file.format))).collect();
    exports::check_files(&targets, &results)?;
    if found.inputs.is_empty() {
        return Err(no_results(folder, &found));
    }
    let history = History::of(found.inputs, &metrics);
    if let Some(metric) = history.never_read(&metrics) {
        let text = format!(
            "metric \"{}\": no result in {} has such operations. To see the operations, phases and fleets of a result:  hubstorm report RESULT",
            plain(&metric.to_string()),
            folder.display()
        );
        return Err(AppError::Usage(text));
    }
    let copies =
        history.copies.iter().map(|(file, first)| (file.clone(), format!("the same run as {first}")));
    let skipped: Vec<(String, String)> =
        found.unreadable.iter().chain(&found.others).cloned().chain(copies).collect();
    for (file, reason) in skipped.iter().filter(|one| !found.unreadable.contains(one)) {
        tell(env, &format!("note: skipped {}: {}\n", plain(file), plain(reason)));
    }
    let mut errors = Vec::new();
    let outputs = Outputs { folder, history: &history, skipped: &skipped };
    for file in files {
        errors.extend(outputs.write(file, env).err());
    }
    if args.out.is_none() && (args.format.is_some() || files.is_empty()) {
        let text = match args.format.unwrap_or(Format::Text) {
            Format::Text => report::history_text(&history, true, (env.out_width)()),
            format => outputs.render(format, folder, env)?,
        };
        print(env, &text)?;
    }
    let unreadable = found.unreadable.iter();
    errors.extend(
        unreadable.map(|(file, reason)| AppError::Environment(format!("{}: {}", plain(file), plain(reason)))),
    );
    exports::all_written(errors).map(|()| exit::PASSED)
}

fn metrics(texts: &[String]) -> Result<Vec<MetricSpec>, AppError> {
    let parse = |text: &String| text.parse().map_err(|error: MetricError| AppError::Usage(error.to_string()));
    texts.iter().map(parse).collect()
}

fn check_formats(mut formats: impl Iterator<Item = Format>) -> Result<(), AppError> {
    match formats.find(|format| !matches!(format, Format::Html | Format::Csv | Format::Text)) {
        Some(format) => {
            let name = format.name();
            Err(AppError::Usage(format!("a history has no format {name}; its formats are {FORMATS}")))
        }
        None => Ok(()),
    }
}

/// Returns the file extension for a history in this format. Unlike that of a result, its CSV is one file.
fn extension(format: Format) -> &'static str {
    format.extensions().first().unwrap_or(&"csv")
}

/// Reads all results in a folder. Ignores hidden files and other folders.
fn read(folder: &Path) -> Result<Folder, AppError> {
    let unreadable = |error: io::Error| {
        let shown = folder.display();
        AppError::Environment(match error.kind() {
            io::ErrorKind::NotFound => {
                format!("{shown} does not exist. Specify the folder that `hubstorm run` writes to (--out)")
            }
            io::ErrorKind::NotADirectory => {
                format!("{shown} is not a folder. Specify the folder that contains the results")
            }
            _ => format!("cannot read the folder {shown}: {error}"),
        })
    };
    let names = result_folder::files(folder).map_err(unreadable)?;
    let mut found = Folder { inputs: Vec::new(), others: Vec::new(), unreadable: Vec::new() };
    for path in names {
        let file = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
        match result_folder::read(&path) {
            Found::Result(result) => {
                let page = path.with_extension("html");
                let page =
                    page.is_file().then(|| page.file_name().map(|name| name.to_string_lossy().into_owned()));
                found.inputs.push(HistoryInput::new(file, page.flatten(), *result));
            }
            Found::Other => found.others.push((file, "it is not a result file".to_owned())),
            // Most messages begin with the path.
            Found::Unreadable(error) => {
                let text = error.to_string();
                let reason =
                    text.strip_prefix(&format!("{} ", path.display())).map(|rest| format!("it {rest}"));
                found.unreadable.push((file, reason.unwrap_or(text)));
            }
        }
    }
    Ok(found)
}

/// Describes a folder without a readable result.
fn no_results(folder: &Path, found: &Folder) -> AppError {
    let files = found.unreadable.iter().chain(&found.others);
    let files: String =
        files.map(|(file, reason)| format!("\n  {}: {}", plain(file), plain(reason))).collect();
    AppError::Environment(format!(
        "{} contains no readable result. Specify the folder that `hubstorm run` writes to (--out){files}",
        folder.display()
    ))
}

/// What a history is rendered from.
struct Outputs<'a> {
    folder: &'a Path,
    history: &'a History,
    skipped: &'a [(String, String)],
}

impl Outputs<'_> {
    fn write(&self, export: &Export, env: &mut Env) -> Result<(), AppError> {
        let text = self.render(export.format, disk::folder_of(&export.file), env)?;
        disk::replace(&export.file, text.as_bytes())
            .map_err(|error| environment_error(&format!("cannot write {}", export.file.display()), &error))
    }

    /// Renders the history. `place` is the folder of the file, from which the links of the page start.
    fn render(&self, format: Format, place: &Path, env: &mut Env) -> Result<String, AppError> {
        let failed = |error| environment_error("cannot render the history", &error);
        match format {
            Format::Html => {
                let folder = relative(place, self.folder).unwrap_or_default();
                report::history_page(self.history, &folder, self.skipped).map_err(failed)
            }
            Format::Csv => self.csv(env),
            _ => Ok(report::history_text(self.history, false, report::Width::FILE)),
        }
    }

    /// Renders the newest group, because one file is one series of measurements. Names what is left out.
    fn csv(&self, env: &mut Env) -> Result<String, AppError> {
        let Some((newest, others)) = self.history.groups.split_first() else { return Ok(String::new()) };
        let table = report::history_csv(newest)
            .map_err(|error| environment_error("cannot render the history", &error))?;
        for (file, reason) in &table.left_out {
            tell(env, &format!("note: the CSV leaves out {}: {}\n", plain(file), plain(reason)));
        }
        for group in others {
            let results = crate::units::plural(group.runs.len() as u64, "result", "results");
            tell(
                env,
                &format!("note: the CSV leaves out {results} of plan {} ({})\n", group.plan, group.name),
            );
        }
        Ok(table.text)
    }
}

/// Returns the segments of the path from a folder to another. `None` if a folder does not exist.
fn relative(from: &Path, to: &Path) -> Option<Vec<String>> {
    let (from, to) = (from.canonicalize().ok()?, to.canonicalize().ok()?);
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| "..".to_owned());
    let down = to
        .components()
        .skip(common)
        .map(|component: Component<'_>| component.as_os_str().to_string_lossy().into_owned());
    Some(up.chain(down).collect())
}
