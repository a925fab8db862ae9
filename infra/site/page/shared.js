"use strict";
// Shared by all scripts: elements, formats of numbers and names, parsing.
const $ = (id) => document.getElementById(id);
// The stage's URL works with and without a trailing slash, so nothing here may be relative to it.
const base = location.pathname.replace(/\/*$/, "/");
// Titles for people; the problem's detail says the rest.
const TITLES = { 401: "Not signed in", 403: "Not authorised", 413: "Too large", 415: "Unsupported file", 429: "Busy", 502: "The model failed", 503: "Not ready yet", 504: "Too slow" };
// Invisible characters, and those that reorder text: no file name may be mistaken for another.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const printable = (name) => name.replace(UNPRINTABLE, "\ufffd");

function bytes(count) {
  const kib = Math.ceil(count / 1024);
  return kib < 1024 ? `${kib}\u00a0KiB` : `${Math.ceil(kib / 102.4) / 10}\u00a0MiB`; // rounded up, so that a file above the limit looks larger
}

function percent(share) {
  if (share > 0 && share < 0.001) return "<\u00a00.1\u00a0%";
  if (share < 1 && share > 0.999) return ">\u00a099.9\u00a0%";
  return `${(share * 100).toFixed(1)}\u00a0%`;
}

// Counts are easier to judge than percentages.
function outOf100(share) {
  if (share > 0 && share < 0.01) return "fewer than 1";
  if (share < 1 && share > 0.99) return "more than 99";
  return `about ${Math.round(share * 100)}`;
}

// Parsed JSON, or an empty object if another hop answered with something else.
function parsed(text) {
  try {
    return JSON.parse(text) || {};
  } catch {
    return {};
  }
}

// A new element; strings become text, never markup.
function element(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
