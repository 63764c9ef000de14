//! Matrices: one stage, run once for each combination of values. No I/O.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// Values by the axis that they are on.
pub type AxisValues = BTreeMap<String, String>;

/// Runs a stage once for each combination of values: each is a cell, and a Job of its own.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!has(self.image) || (self.image.axis in self.axes && self.axes[self.image.axis].all(v, v in self.image.images))",
     "matrix.image.axis must be one of the axes, and matrix.image.images must have an image for each of its values"),
    ("!has(self.exclude) || self.exclude.all(e, e.all(a, a in self.axes))",
     "matrix.exclude may only name axes of this matrix"),
    ("!has(self.include) || self.include.all(i, i.all(a, a in self.axes) && self.axes.all(a, a in i))",
     "each entry of matrix.include must give every axis of this matrix a value, and name no other"),
]))]
pub struct Matrix {
    /// The axes by name, 1 to 6, with 1 to 64 values each. A script reads its value as
    /// `SLIPWAY_MATRIX_<AXIS>`, the name in capitals; names are lower-case letters, digits and `_`.
    /// All stages of a Pipeline together have at most 256 cells. Example: `{python: ["3.11", "3.13"]}`.
    #[schemars(transform = schema::axes)]
    pub axes: BTreeMap<String, Vec<String>>,
    /// Combinations that are left out: those that have all the values of an entry. At most 64.
    /// Example: `[{python: "3.9", db: mysql}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::axis_values::<64>)]
    pub exclude: Vec<AxisValues>,
    /// Combinations that are added, with a value for every axis, be it one of its list or not. At most 64.
    /// Example: `[{python: "3.14", db: postgres}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::axis_values::<64>)]
    pub include: Vec<AxisValues>,
    /// The image of each cell, by its value on one axis. Default: all cells have the image of the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<MatrixImage>,
    /// Cells that run at the same time, 1 to 256. Default `16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub max_parallel: Option<u32>,
    /// Whether the first cell that fails stops the others. Default `true`; `false` runs all of them to their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_fast: Option<bool>,
}

/// Images by the value of an axis.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MatrixImage {
    /// The axis. Example: `python`.
    #[schemars(transform = schema::some_text::<32>)]
    pub axis: String,
    /// Image by value, for every value of the axis; at most 64. Example: `{"3.11": "registry.example/ci/python:3.11"}`.
    #[schemars(transform = schema::images::<64>)]
    pub images: BTreeMap<String, String>,
}

impl Matrix {
    /// Cells that run at the same time.
    pub fn max_parallel(&self) -> usize {
        usize::try_from(self.max_parallel.unwrap_or(16)).unwrap_or(usize::MAX)
    }

    /// Whether the first cell that fails stops the others.
    pub fn fail_fast(&self) -> bool {
        self.fail_fast.unwrap_or(true)
    }

    /// The image that a cell has for its values.
    pub fn image(&self, values: &AxisValues) -> Option<&str> {
        let by_value = self.image.as_ref()?;
        let value = values.get(&by_value.axis)?;
        by_value.images.get(value).map(String::as_str)
    }
}
