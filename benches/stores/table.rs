//! The rows of all subjects as one Markdown table.

/// One subject's figures, by row.
pub struct Column {
    name: &'static str,
    cells: Vec<(String, String)>,
}

impl Column {
    pub fn new(name: &'static str) -> Self {
        Self { name, cells: Vec::new() }
    }

    /// Also says it at once: a run takes long.
    pub fn add(&mut self, row: impl Into<String>, cell: impl Into<String>) {
        let (row, cell) = (row.into(), cell.into());
        eprintln!("  {row}: {cell}");
        self.cells.push((row, cell));
    }

    fn cell(&self, row: &str) -> &str {
        self.cells.iter().find(|(name, _)| name == row).map_or("–", |(_, cell)| cell)
    }
}

/// A row for each measure that any subject has, in the order of the first that has most.
pub fn markdown(columns: &[Column]) -> String {
    let Some(longest) = columns.iter().max_by_key(|column| column.cells.len()) else { return String::new() };
    let mut text = line("", columns.iter().map(|column| column.name));
    text += &line("---", columns.iter().map(|_| "---:"));
    for (row, _) in &longest.cells {
        text += &line(row, columns.iter().map(|column| column.cell(row)));
    }
    text
}

fn line<'a>(first: &str, cells: impl Iterator<Item = &'a str>) -> String {
    let cells: Vec<&str> = cells.collect();
    format!("| {first} | {} |\n", cells.join(" | "))
}
