use super::*;

#[test]
fn numbers_from_one_refuse_zero() {
    assert_eq!(Seq::new(0), None);
    assert_eq!(Seq::new(1), Some(Seq::FIRST));
    assert_eq!(Seq::FIRST.previous(), None);
    assert_eq!(Seq::FIRST.next().previous(), Some(Seq::FIRST));
    assert!("0".parse::<Epoch>().is_err());
    assert!(serde_json::from_str::<PageNo>("0").is_err());
    assert_eq!("17".parse::<Seq>().unwrap().to_string(), "17");
}

#[test]
fn page_sizes_are_those_of_sqlite() {
    let valid: Vec<u32> = (0..=70_000).filter(|&size| PageSize::new(size).is_some()).collect();
    assert_eq!(valid, [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]);
    assert!(serde_json::from_str::<PageSize>("1000").is_err());
    assert_eq!(PageSize::new(4096).unwrap().lock_page().get(), 262_145);
}

#[test]
fn byte_ids_are_texts_in_json() {
    let id = DbId::from_bytes([0xab; 8]);
    assert_eq!(serde_json::to_string(&id).unwrap(), r#""abababababababab""#);
    assert_eq!(serde_json::from_str::<DbId>(r#""abababababababab""#).unwrap(), id);
    assert!(serde_json::from_str::<DbId>(r#""ABABABABABABABAB""#).is_err());
    assert_eq!(id.to_string().parse::<DbId>().unwrap(), id);
}

#[test]
fn a_refused_text_is_shown_shortened() {
    let long = "x".repeat(100_000);
    let error = long.parse::<DbId>().unwrap_err();
    assert!(error.to_string().len() < 300);
}

#[test]
fn instants_move_without_wrapping() {
    assert_eq!(Millis::new(5).since(Millis::new(9)), 0);
    assert_eq!(Millis::new(9).since(Millis::new(5)), 4);
    assert_eq!(Millis::new(5).offset(-9), Millis::new(0));
    assert_eq!(Millis::new(u64::MAX).offset(1), Millis::new(u64::MAX));
}
