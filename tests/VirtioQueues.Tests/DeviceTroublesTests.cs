namespace Paravane.VirtioQueues.Tests;

public sealed class DeviceTroublesTests
{
    [Fact]
    public void What_goes_wrong_is_raised_once_and_told_with_its_numbers()
    {
        var troubles = new DeviceTroubles("frames dropped", "too long", null, "too short");
        int raised = 0;
        troubles.Raised += () => raised++;
        troubles.Count(1);
        Assert.Equal((0, (string?)null), (raised, troubles.Take()));
        troubles.Count(0);
        troubles.Count(2);
        troubles.Count(2);
        Assert.Equal((1, "frames dropped: 1 too long, 2 too short"), (raised, troubles.Take()));
        Assert.Null(troubles.Take());
        troubles.Count(0);
        Assert.Equal((2, "frames dropped: 1 too long"), (raised, troubles.Take()));
        Assert.Equal((2, 1, 2, 5), (troubles[0], troubles[1], troubles[2], troubles.Total));
    }

    [Fact]
    public void Counting_allocates_nothing()
    {
        var troubles = new DeviceTroubles("frames dropped", "too long");
        troubles.Count(0);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            troubles.Count(0);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }
}
