namespace Paravane.VirtioQueues.Tests;

/// <summary>Notification decisions against the specification, counted out entry by entry (R12).</summary>
public sealed class EventIdxTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(0x7ffe)]
    [InlineData(0xfffe)]
    public void R12_a_split_event_index_is_due_exactly_when_the_batch_contains_its_entry(int from)
    {
        for (int batch = 0; batch <= 20; batch++)
        {
            ushort old = (ushort)from, now = unchecked((ushort)(from + batch));
            for (int distance = -30; distance <= 30; distance++)
            {
                ushort asked = unchecked((ushort)(from + distance));
                bool contained = distance >= 0 && distance < batch; // entry number «asked» was published by this batch
                Assert.Equal(contained, EventIdx.IsDue(asked, now, old));
            }
        }

        Assert.True(EventIdx.IsDue((ushort)from, unchecked((ushort)(from + 32768)), (ushort)from));
    }

    [Fact]
    public void R12_a_packed_event_offset_is_due_exactly_as_the_formula_of_the_specification_says()
    {
        foreach (int size in new[] { 1, 2, 3, 4, 7 })
        {
            for (int start = 0; start < 2 * size; start++)
            {
                for (int slots = 1; slots <= size; slots++)
                {
                    int oldPosition = start % size, newPosition = (start + slots) % size;
                    bool newWrap = (start + slots) / size % 2 == 0;
                    for (int offset = 0; offset < size; offset++)
                    {
                        foreach (bool wrap in new[] { false, true })
                        {
                            Assert.Equal(
                                Formula(offset, wrap, newPosition, newWrap, oldPosition, size),
                                EventIdx.IsDuePacked((ushort)(offset | (wrap ? 0x8000 : 0)), (ushort)newPosition, newWrap, (ushort)slots, size));
                        }
                    }
                }
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(256)]
    [InlineData(32768)]
    public void R12_a_packed_event_that_names_a_slot_of_the_batch_is_due_and_the_slots_beside_it_are_not(int size)
    {
        int lap = 2 * size;
        foreach (int start in new[] { 0, size / 2, size - 1, size, lap - 1 })
        {
            foreach (int slots in new[] { 1, Math.Min(3, size), size })
            {
                int end = start + slots;
                for (int at = start - Math.Min(2, size); at < end + Math.Min(2, size); at++)
                {
                    if (at < 0 || Math.Abs(at - end) > size || at < end - size)
                    {
                        continue; // further than a lap away: positions repeat and a wrap counter of one bit cannot tell
                    }

                    ushort word = (ushort)((at % size) | (at / size % 2 == 0 ? 0x8000 : 0));
                    bool due = EventIdx.IsDuePacked(word, (ushort)(end % size), end / size % 2 == 0, (ushort)slots, size);
                    Assert.Equal(at >= start && at < end, due);
                }
            }
        }
    }

    // virtio 1.2 §2.8.21 as Linux and the virtio text spell it: old index reconstructed from positions.
    private static bool Formula(int offset, bool eventWrap, int position, bool wrap, int oldPosition, int size)
    {
        int off = offset, old = oldPosition;
        if (position <= old)
        {
            old -= size;
        }

        if (eventWrap != wrap)
        {
            off -= size;
        }

        return unchecked((ushort)(position - off - 1)) < unchecked((ushort)(position - old));
    }
}
