//! The client side of MQTT.
