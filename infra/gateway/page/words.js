"use strict";
// What all of the page's code shares: finding its parts, and putting numbers and names into words.
const $ = (id) => document.getElementById(id);
// The stage's address works with and without its last slash, so nothing here may be relative to it.
const base = location.pathname.replace(/\/*$/, "/");
// What a status means to a person; the problem's own detail says the rest.
const TITLES = { 401: "Not let in", 403: "Not let in", 413: "Too large", 415: "Not a JPEG or PNG", 429: "Busy", 502: "The model failed", 503: "Not ready yet", 504: "Too slow" };
// Characters that are not seen, or turn the text around them: no file name may pass for another one.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const seen = (name) => name.replace(UNSEEN, "\ufffd");

function bytes(count) {
  const kib = Math.ceil(count / 1024);
  return kib < 1024 ? `${kib}\u00a0KiB` : `${Math.ceil(kib / 102.4) / 10}\u00a0MiB`; // up, so that too large looks so
}

function percent(share) {
  if (share > 0 && share < 0.001) return "<\u00a00.1\u00a0%";
  if (share < 1 && share > 0.999) return ">\u00a099.9\u00a0%";
  return `${(share * 100).toFixed(1)}\u00a0%`;
}

// People judge counts better than percentages.
function ofHundred(share) {
  if (share > 0 && share < 0.01) return "fewer than 1";
  if (share < 1 && share > 0.99) return "more than 99";
  return `about ${Math.round(share * 100)}`;
}

// Parsed JSON, or nothing where a hop between answered with something else.
function parsed(text) {
  try {
    return JSON.parse(text) || {};
  } catch {
    return {};
  }
}

// An element with properties; text goes in as text, whatever it holds.
function made(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
