use super::*;

/// A linear congruential generator: other bytes each time.
struct Bytes(u32);

impl Random for Bytes {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (self.0 >> 24) as u8;
        }
    }
}

const PLACE: Place = Place { shard: ShardId(3), index: 0x01_02_03 };

fn issue(tickets: &Tickets, place: Place, random: &mut Bytes) -> (Serial, Ticket) {
    let serial = tickets.draw(place, random).unwrap();
    (serial, tickets.seal(place, serial).unwrap())
}

#[test]
fn a_ticket_says_what_was_put_in() {
    let (tickets, mut random) = (Tickets::new(Some(&[1; 32])), Bytes(1));
    for index in [0, 1, 0xFF_FF_FF] {
        let place = Place { index, ..PLACE };
        let (serial, ticket) = issue(&tickets, place, &mut random);
        assert_eq!(tickets.open(&ticket), Some((place, serial)));
        assert_eq!(tickets.seal(place, serial), Some(ticket), "the same each time");
    }
    assert_eq!(tickets.draw(Place { index: 1 << 24, ..PLACE }, &mut random), None);
}

// E-009
#[test]
fn tickets_of_one_allocation_have_nothing_in_common_and_no_zero_byte() {
    let (tickets, mut random) = (Tickets::new(Some(&[1; 32])), Bytes(2));
    let all: Vec<Ticket> = (0..2000).map(|_| issue(&tickets, PLACE, &mut random).1).collect();
    assert!(all.iter().flatten().all(|byte| *byte != 0));
    for (at, byte) in all[0].iter().enumerate() {
        let same = all.iter().filter(|ticket| ticket[at] == *byte).count();
        // 8 are to be expected.
        assert!(same < 40, "{same} of 2000 tickets have {byte:#x} at {at}");
    }
}

// E-004
#[test]
fn a_ticket_with_any_bit_changed_or_of_another_length_is_none() {
    let (tickets, mut random) = (Tickets::new(Some(&[1; 32])), Bytes(3));
    let (_, ticket) = issue(&tickets, PLACE, &mut random);
    for bit in 0..LENGTH * 8 {
        let mut changed = ticket;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(tickets.open(&changed), None, "bit {bit}");
    }
    for length in 0..LENGTH {
        assert_eq!(tickets.open(&ticket[..length]), None);
    }
    assert_eq!(tickets.open(&[&ticket[..], &[1]].concat()), None);
}

#[test]
fn a_ticket_of_another_key_is_none() {
    let (one, other) = (Tickets::new(Some(&[1; 32])), Tickets::new(Some(&[2; 32])));
    let mut random = Bytes(4);
    assert_eq!(other.open(&issue(&one, PLACE, &mut random).1), None);
    assert!(one.exist() && !Tickets::new(None).exist());
    assert_eq!(Tickets::new(None).draw(PLACE, &mut random), None);
}
