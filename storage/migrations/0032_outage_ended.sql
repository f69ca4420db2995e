-- Which outages have ended lately, however long they lasted: every page asks.
CREATE INDEX alert_outage_ended ON alert (realm, cleared_us) WHERE fault = 'outage';
