"use strict";
// Numbers written as Python writes them, and which of many are the largest.
const SHOWN = 8;

// As "%.6g": six digits that count, halves to the even digit.
function general(value, digits = 6) {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const [mantissa, power] = Math.abs(value).toExponential(60).split("e");
  const all = mantissa.replace(".", "");
  let exponent = Number(power);
  let head = Number(all.slice(0, digits));
  const tail = all.slice(digits);
  const half = "5".padEnd(tail.length, "0");
  if (tail > half || (tail === half && head % 2 === 1)) head += 1;
  if (head === 10 ** digits) {
    head /= 10;
    exponent += 1;
  }
  const written = String(head);
  const sign = value < 0 ? "-" : "";
  const bare = (text) => (text.includes(".") ? text.replace(/\.?0*$/, "") : text);
  if (exponent < -4 || exponent >= digits) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${sign}${bare(`${written[0]}.${written.slice(1)}`)}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  if (exponent < 0) return sign + bare(`0.${"0".repeat(-exponent - 1)}${written}`);
  return sign + bare(`${written.slice(0, exponent + 1)}.${written.slice(exponent + 1)}`);
}

function number(value) {
  if (value === 0) return "0.0";
  const shown = general(value);
  return /[.eni]/.test(shown) ? shown : `${shown}.0`;
}

function factor(value) {
  const shown = number(value);
  return shown.startsWith("-") ? `(${shown})` : shown;
}

const grouped = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");
const sum = (values) => values.reduce((total, value) => total + value, 0);
const norm = (values) => Math.sqrt(sum(values.map((value) => value * value)));
const size = (value) => (Number.isFinite(value) ? Math.abs(value) : Number.isNaN(value) ? 0 : Number.MAX_VALUE);

function numbers(values, limit = SHOWN) {
  const shown = values.slice(0, limit).map(number).join(", ");
  return values.length <= limit ? `[${shown}]` : `[${shown}, ... +${grouped(values.length - limit)}]`;
}

function namedNumbers(values, names) {
  const shown = values.slice(0, SHOWN).map((value, k) => `${names[k]} ${number(value)}`).join(", ");
  return values.length <= SHOWN ? shown : `${shown}, ... +${grouped(values.length - SHOWN)}`;
}

const sign = (value) => (value > 0 ? "+" : value < 0 ? "-" : value === 0 ? "0" : "?");
const signs = (values) => values.slice(0, 64).map(sign).join("") + (values.length > 64 ? "..." : "");

// The places of the largest values first; equal ones keep their order.
const bySize = (values) => values.map((_, k) => k).sort((a, b) => size(values[b]) - size(values[a]));
// Of several that differ by rounding only, the first.
function largestPlace(values) {
  const sizes = values.map(size);
  return sizes.findIndex((one) => one >= Math.max(...sizes) * (1 - 1e-9));
}
